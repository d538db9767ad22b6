"""Which limit stopped a job: read from SLURM's own lines, told in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from cream.cluster.stops import sentences

# Lines of SLURM 22.05 with and without cgroups.
TIME = "slurmstepd-n1: error: *** JOB 6 ON n1 CANCELLED AT 2026-11-23T13:40:11 DUE TO TIME LIMIT ***"
MEMORY = "slurmstepd-n1: error: Exceeded job memory limit"
CGROUP = "slurmstepd: error: Detected 1 oom_kill event in StepId=5.0. Some of the step tasks have been OOM Killed."
PREEMPTED = "slurmstepd-n1: error: *** JOB 6 ON n1 CANCELLED AT 2026-11-23T13:40:11 DUE TO PREEMPTION ***"


def run(folder: Path, *jobs: str, lived: bool = False) -> list[str]:
    """A run whose jobs' logs say so: all attempts of one job. Those that aren't "done" fail, unless they `lived`."""
    lines = []
    for number, said in enumerate(jobs, start=1):
        path = folder / f"slurm_logs/rule_train_policy/tiny_1_cream_2/{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"loss 0.7 at step 1\n{said}\n")
        lines += [
            "rule train_policy:\n",
            "    jobid: 7\n",
            f"    resources: tmpdir=<TBD>, mem_mb={1000 * number}, mem=1 GB, runtime={10 * number}\n",
            f"Job 7 has been submitted with SLURM jobid {number} (log: {path}).\n",
        ]
        if said != "done" and not lived:
            lines += ["Error in rule train_policy:\n", "    jobid: 7\n", f"    external_jobid: {number}\n"]
    return sentences(lines)


def test_a_job_that_went_on_is_told_with_every_limit_it_met(tmp_path: Path) -> None:
    assert run(tmp_path, TIME, MEMORY, "done") == [
        "train_policy tiny_1_cream_2 was stopped at its time limit of 10 min (SLURM job 1), then at its memory limit"
        " of 2000 MB (SLURM job 2) and submitted again."
    ]


@pytest.mark.parametrize(("said", "limit"), [(TIME, "time"), (MEMORY, "memory"), (CGROUP, "memory")])
def test_a_job_that_stayed_stopped_says_what_to_raise(tmp_path: Path, said: str, limit: str) -> None:
    (sentence,) = run(tmp_path, said, said)
    assert sentence.endswith(
        f"its last attempt: raise cluster.margin.{limit} in the study's configuration and run again."
    )


def test_a_preempted_job_met_no_limit(tmp_path: Path) -> None:
    (sentence,) = run(tmp_path, PREEMPTED, "done")
    assert (
        sentence == "train_policy tiny_1_cream_2 was stopped by jobs that go first (SLURM job 1) and submitted again."
    )


def test_what_a_job_itself_says_is_no_reason(tmp_path: Path) -> None:
    assert run(tmp_path, "the answer was CANCELLED DUE TO TIME LIMIT and out of memory") == []


def test_a_limit_that_a_job_went_over_and_lived_is_no_stop(tmp_path: Path) -> None:
    assert run(tmp_path, MEMORY, lived=True) == []


def test_a_run_without_a_cluster_has_none() -> None:
    assert sentences(["rule all:\n", "    jobid: 0\n", "done\n"]) == []
