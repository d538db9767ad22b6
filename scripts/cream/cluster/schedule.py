"""How long jobs take that wait for each other, when only so many run at a time.

Simulated: whenever something is free, the ready job of the highest priority that fits starts, the one
planned first among equals. That is how Snakemake's greedy scheduler goes about it, but for the order of
equals, which isn't known beforehand.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Seconds of work that wait for other tasks (`after`, their places in the list) and take `weight` of the
    places of a pool; without a pool, it runs as soon as it can."""

    seconds: float
    after: Sequence[int] = ()
    pool: str | None = None
    weight: int = 1
    priority: int = 0


def wall_seconds(tasks: Sequence[Task], places: Mapping[str, int]) -> float:
    """Seconds until the last task ends, with so many places in each pool.

    Raises ValueError for a task that doesn't fit into its pool, or tasks that wait for each other in a ring.
    """
    for task in tasks:
        if task.pool is not None and task.weight > places[task.pool]:
            raise ValueError(f"a task takes {task.weight} places of {task.pool}, which has {places[task.pool]}")
    free = dict(places)
    waiting, followers = _waiting(tasks), _followers(tasks)
    # Ready tasks by pool and weight: the best one that fits is found without looking at those that don't.
    ready: dict[tuple[str | None, int], list[tuple[int, int]]] = {}
    running: list[tuple[float, int]] = []
    now, ended = 0.0, 0

    def make_ready(place: int) -> None:
        task = tasks[place]
        heapq.heappush(ready.setdefault((task.pool, task.weight), []), (-task.priority, place))

    for place in range(len(tasks)):
        if not waiting[place]:
            make_ready(place)
    while True:
        while (place := _next(ready, free)) is not None:
            task = tasks[place]
            if task.pool is not None:
                free[task.pool] -= task.weight
            heapq.heappush(running, (now + task.seconds, place))
        if not running:
            break
        now, place = heapq.heappop(running)
        ended += 1
        if tasks[place].pool is not None:
            free[tasks[place].pool] += tasks[place].weight
        for follower in followers[place]:
            waiting[follower] -= 1
            if not waiting[follower]:
                make_ready(follower)
    if ended < len(tasks):
        raise ValueError("tasks wait for each other in a ring")
    return now


def longest_chain(tasks: Sequence[Task]) -> float:
    """Seconds that no width can go below: those of the longest chain of tasks that wait for each other."""
    return wall_seconds([Task(task.seconds, task.after) for task in tasks], {})


def _next(ready: dict, free: Mapping[str, int]) -> int | None:
    """Take the best of the ready tasks that fit."""
    fitting = [heap for (pool, weight), heap in ready.items() if heap and (pool is None or weight <= free[pool])]
    return heapq.heappop(min(fitting, key=lambda heap: heap[0]))[1] if fitting else None


def _waiting(tasks: Sequence[Task]) -> list[int]:
    return [len(task.after) for task in tasks]


def _followers(tasks: Sequence[Task]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in tasks]
    for place, task in enumerate(tasks):
        for before in task.after:
            found[before].append(place)
    return found
