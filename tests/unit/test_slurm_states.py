"""What the SLURM plugin is told of its jobs: words it acts on, and never nothing."""

from __future__ import annotations

import asyncio
import logging
from itertools import repeat

import pytest
import snakemake_executor_plugin_slurm as plugin

from cream.cluster.states import Answers

LOGGER = logging.getLogger("states")


def told(answers: list, grace: float = 60.0, queue: dict | list | None = None) -> list[dict[str, str]]:
    """What the plugin hears when sacct answers so, one question after the other, and squeue lists `queue` (a list:
    its answers, one after the other). A number among the answers is so many seconds of waiting."""
    waiting = (answer for answer in answers if not isinstance(answer, float))
    lists = iter(queue) if isinstance(queue, list) else repeat(queue)

    async def ask(command: str, logger: logging.Logger) -> tuple:
        if command.startswith("squeue"):
            assert command.endswith("--states=all --name this-run")
            listed = next(lists)
            return (listed, 0.1) if listed is not None else (None, None)
        answer = next(waiting)
        if answer is None or isinstance(answer, str):
            logger.debug(f"SLURM query command failed: {answer or 'refused'}")
            return None, None
        return answer, 0.1

    understood = Answers(ask, grace)

    async def questions() -> list[dict[str, str]]:
        heard = []
        for answer in answers:
            if isinstance(answer, float):
                await asyncio.sleep(answer)
            else:
                heard.append((await understood("sacct -X --name this-run", LOGGER))[0])
        return heard

    return asyncio.run(questions())


def test_a_state_is_its_first_word() -> None:
    assert told([{"1": "CANCELLED by 1000", "2": "RUNNING", "3": ""}]) == [{"1": "CANCELLED", "2": "RUNNING", "3": ""}]


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("PREEMPTED", "was preempted and is not queued"),
        ("NODE_FAIL", "was lost with its node"),
        ("UNKNOWN", "is not known to SLURM any more"),
    ],
)
def test_a_job_that_may_come_back_waits_until_the_controller_denies_it(
    state: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told([{"1": state}], queue={}) == [{"1": "PENDING"}]
    assert told([{"1": state}], grace=0, queue={"1": "PENDING", "2": "RUNNING"}) == [{"1": "PENDING"}]
    assert told([{"1": state}], grace=0, queue=None) == [{"1": "PENDING"}]
    assert why not in caplog.text
    assert told([{"1": state}, {"1": state}], grace=0, queue={}) == [{"1": "FAILED"}] * 2
    assert caplog.text.count(f"SLURM job 1 {why}") == 1


def test_a_job_that_slurm_forgot_has_failed_and_one_it_never_knew_has_not() -> None:
    assert told([{"1": "RUNNING"}, {}], queue={}) == [{"1": "RUNNING"}, {"1": "PENDING"}]
    assert told([{}, {"1": "RUNNING"}, {}, {}], grace=0, queue={}) == [{}, {"1": "RUNNING"}, *[{"1": "FAILED"}] * 2]


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY"])
@pytest.mark.parametrize("sacct", [{}, {"1": "PREEMPTED"}], ids=["lost by sacct", "preempted"])
def test_a_job_whose_end_the_controller_remembers_ended_so(
    sacct: dict[str, str], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that completed is not made again because the accounts lost it, also once the controller forgets it."""
    queue = {"1": f"{end} by 1000" if end == "CANCELLED" else end}
    assert told([{"1": "RUNNING"}, sacct, sacct], grace=0, queue=queue)[1:] == [{"1": end}] * 2
    assert told([{"1": "RUNNING"}, sacct, sacct], grace=0, queue=[queue, {}])[1:] == [{"1": end}] * 2
    assert caplog.text == ""


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "UNKNOWN"])
def test_a_job_that_the_controller_keeps_as_lost_has_failed(state: str) -> None:
    """Where PreemptMode is CANCEL, the controller remembers the job as preempted."""
    assert told([{"1": "PREEMPTED"}], grace=0, queue={"1": state}) == [{"1": "FAILED"}]
    assert told([{"1": "RUNNING"}, {}], grace=0, queue={"1": state}) == [{"1": "RUNNING"}, {"1": "FAILED"}]


def test_what_the_controller_says_of_others_waits_for_their_own_turn() -> None:
    """Job 2 has not been missed for long enough: UNKNOWN would be taken for its end."""
    answers = [{"1": "RUNNING", "2": "RUNNING"}, {"2": "RUNNING"}, 0.4, {}]
    found = told(answers, grace=0.3, queue={"1": "RUNNING", "2": "UNKNOWN"})
    assert found[1:] == [{"1": "PENDING", "2": "RUNNING"}, {"1": "RUNNING", "2": "PENDING"}]


def test_a_finished_job_may_be_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    assert told([{"1": "COMPLETED"}, {}], grace=0, queue={}) == [{"1": "COMPLETED"}, {}]
    assert caplog.text == ""


def test_no_answer_forgets_no_job_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    assert told([None, None, {"1": "COMPLETED"}]) == [{}, {}, {"1": "COMPLETED"}]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [
        "SLURM gives no answer (SLURM query command failed: refused): jobs go on, and Snakemake asks again.",
        "SLURM answers again.",
    ]


def test_without_accounts_the_queue_is_asked() -> None:
    disabled = "Slurm accounting storage is disabled"
    assert told([disabled, {"never": "asked"}], queue={"1": "COMPLETED"}) == [{"1": "COMPLETED"}] * 2


def test_the_plugin_asks_through_the_name_that_is_replaced() -> None:
    """`understand` replaces a name in the plugin's module: it must be the one its code calls."""
    assert "query_job_status" in plugin.Executor.check_active_jobs.__code__.co_names
