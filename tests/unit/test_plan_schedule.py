"""The simulated wall time, against bounds that hold for every schedule and cases worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cream.cluster.schedule import Task, longest_chain, wall_seconds


@st.composite
def studies(draw: st.DrawFn) -> list[Task]:
    """Jobs of one pool that wait for earlier ones, in whole seconds, so that sums are exact."""
    tasks: list[Task] = []
    for place in range(draw(st.integers(1, 25))):
        after = draw(st.lists(st.integers(0, place - 1), max_size=4, unique=True)) if place else []
        seconds, priority = draw(st.integers(0, 50)), draw(st.sampled_from([0, 10, 100]))
        tasks.append(Task(seconds, after, "cluster", 1, priority))
    return tasks


def chain_by_hand(tasks: list[Task]) -> float:
    ends: list[float] = []
    for task in tasks:
        ends.append(task.seconds + max((ends[before] for before in task.after), default=0))
    return max(ends)


@given(studies(), st.integers(1, 8))
def test_wall_time_stays_within_what_any_schedule_can_do(tasks: list[Task], width: int) -> None:
    total, chain = sum(task.seconds for task in tasks), chain_by_hand(tasks)
    found = wall_seconds(tasks, {"cluster": width})
    assert max(chain, total / width) <= found <= total
    # No place stays free while a task is ready (Graham 1966).
    assert found <= total / width + (1 - 1 / width) * chain + 1e-9
    assert wall_seconds(tasks, {"cluster": 1}) == total
    assert wall_seconds(tasks, {"cluster": len(tasks)}) == longest_chain(tasks) == chain


@given(studies(), st.integers(2, 6), st.data())
def test_wide_tasks_take_their_places(tasks: list[Task], width: int, data: st.DataObject) -> None:
    wide = [
        Task(task.seconds, task.after, "cluster", data.draw(st.integers(1, width)), task.priority) for task in tasks
    ]
    work = sum(task.seconds * task.weight for task in wide)
    found = wall_seconds(wide, {"cluster": width})
    assert max(longest_chain(wide), work / width) <= found <= sum(task.seconds for task in wide)


def test_priority_goes_first_and_a_wide_task_waits_for_room() -> None:
    # Two places: the chain of 5 + 5 has priority, the wide task needs both places and starts at 10.
    tasks = [Task(5, (), "c", 1, 10), Task(5, (0,), "c", 1, 10), Task(4, (), "c", 2), Task(3, (), "c", 1)]
    assert wall_seconds(tasks, {"c": 2}) == 14
    assert wall_seconds([*tasks[:2], Task(4, (), "c", 2, 100), tasks[3]], {"c": 2}) == 14
    assert wall_seconds([*tasks[:2], Task(4, (), None), tasks[3]], {"c": 1}) == 13


def test_pools_do_not_hold_each_other_up() -> None:
    tasks = [Task(7, (), "here"), Task(7, (), "here"), Task(9, (), "cluster"), Task(9, (), "cluster")]
    assert wall_seconds(tasks, {"here": 2, "cluster": 1}) == 18
    assert wall_seconds(tasks, {"here": 1, "cluster": 2}) == 14
    assert wall_seconds([], {}) == 0


def test_what_can_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 4 places of c, which has 2"):
        wall_seconds([Task(1, (), "c", 4)], {"c": 2})
    with pytest.raises(ValueError, match="ring"):
        wall_seconds([Task(1, (1,)), Task(1, (0,))], {})
