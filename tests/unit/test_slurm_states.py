"""What the SLURM plugin is told of its jobs: words it acts on, and never nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest
import snakemake_executor_plugin_slurm as plugin

from cream.cluster.states import Answers

LOGGER = logging.getLogger("states")


def told(answers: list, grace: float = 60.0, queue: dict[str, str] | None = None) -> list[dict[str, str]]:
    """What the plugin hears when sacct answers so, one question after the other, and squeue lists `queue`."""
    waiting = iter(answers)

    async def ask(command: str, logger: logging.Logger) -> tuple:
        if command.startswith("squeue"):
            assert command.endswith("--name this-run")
            return (queue, 0.1) if queue is not None else (None, None)
        answer = next(waiting)
        if answer is None or isinstance(answer, str):
            logger.debug(f"SLURM query command failed: {answer or 'refused'}")
            return None, None
        return answer, 0.1

    understood = Answers(ask, grace)

    async def questions() -> list[dict[str, str]]:
        return [(await understood("sacct -X --name this-run", LOGGER))[0] for _ in answers]

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
