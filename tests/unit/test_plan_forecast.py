"""Tables and wall times of a plan, against the same worked out by hand."""

from __future__ import annotations

import pytest

from cream.cluster.forecast import SLURM_SECONDS, by_stage, on_cluster, on_this_machine, shortest
from cream.cluster.jobs import Job
from cream.errors import UserError


def job(rule: str, seconds: int, after: tuple[int, ...] = (), **other: object) -> Job:
    facts = {"rated": True, "gpus": 0, "threads": 1, "memory_mb": 1000, "local": False, "priority": 0}
    return Job(rule=rule, seconds=seconds, outputs=(), after=after, **{**facts, **other})


def table(after: tuple[int, ...]) -> Job:
    return job("compute_rewards", 2, after, rated=False, memory_mb=None, local=True)


ON_PROCESSORS = [job("train_sft", 3600, threads=4), job("sample_responses", 1800, (0,)), table((1,))]
ON_GPUS = [
    job("convert_model", 100),
    job("train_sft", 3600, (0,), gpus=4, threads=8),
    job("sample_responses", 1800, (1,), gpus=2),
    job("sample_responses", 1800, (1,), gpus=2),
    table((2, 3)),
]


def test_stages_add_up() -> None:
    found = by_stage(ON_GPUS).set_index("stage")
    assert list(found.index) == [
        "assets and base models",
        "supervised fine-tuning",
        "sampling",
        "rewards, consistency, pairs",
        "all",
    ]
    assert found.loc["sampling", ["jobs", "submitted", "gpus", "gpu_hours", "core_hours"]].tolist() == [2, 2, 2, 2, 1]
    everything = found.loc["all"]
    assert everything["jobs"] == 5 and everything["submitted"] == 4 and everything["gpus"] == 4
    assert everything["gpu_hours"] == pytest.approx(4 + 2)
    assert everything["core_hours"] == pytest.approx((100 + 8 * 3600 + 2 * 1800 + 2) / 3600)
    assert everything["longest"] == 3600 and everything["memory_mb"] == 1000
    assert found.loc["rewards, consistency, pairs", "memory_mb"] is not None
    assert found["memory_mb"].isna().tolist() == [False, False, False, True, False]


def test_a_rule_no_stage_names_is_counted_with_the_rest() -> None:
    assert by_stage([job("something_new", 5)])["stage"].tolist() == ["tables, charts and the rest", "all"]


def test_the_width_is_gpus_where_the_study_uses_them() -> None:
    waits = 3 * SLURM_SECONDS
    assert on_cluster(ON_GPUS, 4) == (100 + 3600 + 1800 + 2 + waits, pytest.approx(6 * 3600 / (4 * (5502 + waits))))
    five = on_cluster(ON_GPUS, 5)[0]
    assert five == on_cluster(ON_GPUS, 4)[0] == shortest(ON_GPUS, True)
    with pytest.raises(UserError, match=r"--width 3: a job of train_sft takes 4 GPUs"):
        on_cluster(ON_GPUS, 3)


def test_the_width_is_jobs_where_it_does_not() -> None:
    jobs = [*ON_PROCESSORS, job("evaluate_model", 1800)]
    # The table is made here while the evaluation runs.
    assert on_cluster(jobs, 1)[0] == 3600 + 1800 + 1800 + 3 * SLURM_SECONDS
    assert on_cluster(jobs, 2)[0] == 3600 + 1800 + 2 + 2 * SLURM_SECONDS


def test_one_machine_shares_its_cores_among_all_jobs() -> None:
    jobs = [*ON_PROCESSORS, job("evaluate_model", 1800)]
    # The evaluation has to wait for the four threads of the training, and runs beside the sampling.
    assert on_this_machine(jobs, 4) == (3600 + 1800 + 2, pytest.approx((4 * 3600 + 2 * 1800 + 2) / (4 * 5402)))
    assert on_this_machine(jobs, 5)[0] == on_this_machine(jobs, 100)[0] == shortest(jobs, False) == 5402
    # Snakemake cuts threads down to the cores there are.
    assert on_this_machine(jobs, 1)[0] == sum(each.seconds for each in jobs)
