"""What a cluster does to jobs, done to them: limits, cancellation, preemption, dead nodes, restarts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster
from clustered import SAMPLES, SMALL, ClusterStudy, job_runs, one_job, wait_until
from processes import kill, processes_with

Fault = Callable[..., object]


def small_requests(memory_mb: int) -> str:
    """Jobs that ask for a minute and so many megabytes at first, and for that much more with every attempt."""
    return SMALL + (
        f"cluster: {{start_seconds: 1, memory_mb: {memory_mb - 1}, margin: {{time: 1, memory: 1}},"
        f" least: {{minutes: 1, memory_mb: {memory_mb}}}}}\n"
    )


def states(study: ClusterStudy) -> list[str]:
    return [job["State"].split()[0] for job in study.slurm_jobs()]


def finishes_alike(study: ClusterStudy, run: object, before: bytes, artifact: str = SAMPLES) -> None:
    assert study.ended(run) == 0, study.said()[-3000:]
    assert (study.folder / artifact).read_bytes() == before


def test_a_cancelled_job_is_submitted_again(study: ClusterStudy, fault: Fault) -> None:
    before = (study.folder / SAMPLES).read_bytes()
    with fault("job cancelled", "`scancel` of a running job", "submitted again; same samples, byte for byte"):
        run = one_job(study)
        study.cluster.run("scancel", job_runs(study))
        finishes_alike(study, run, before)
        assert states(study) == ["CANCELLED", "COMPLETED"]


def test_a_job_over_its_memory_gets_more(study: ClusterStudy, fault: Fault) -> None:
    before = (study.folder / SAMPLES).read_bytes()
    study.change(small_requests(450))
    with fault("memory limit", "a job asked for 450 MB and took more", "submitted again with 900 MB; limit named"):
        finishes_alike(study, one_job(study), before)
        jobs = study.slurm_jobs()
        assert [(job["ReqMem"], job["State"]) for job in jobs] == [("450M", "FAILED"), ("900M", "COMPLETED")]
        assert f"was stopped at its memory limit of 450 MB (SLURM job {jobs[0]['JobIDRaw']})" in study.said()


@pytest.mark.faults
def test_a_job_that_never_fits_ends_with_its_limit_named(study: ClusterStudy, fault: Fault) -> None:
    study.change(small_requests(120))
    with fault(
        "memory limit, no retries left",
        "every attempt over its limit (120, 240, 360 MB)",
        "3 attempts, exit code 1, one sentence with the limits and the setting to raise",
    ):
        assert study.ended(one_job(study)) == 1
        assert [job["ReqMem"] for job in study.slurm_jobs()] == ["120M", "240M", "360M"]
        (told,) = [line for line in study.said().splitlines() if "was stopped" in line]
        assert told.startswith("sample_responses tiny_1_sft_1 was stopped at its memory limit of 120 MB")
        assert told.endswith(
            "its last attempt: raise cluster.margin.memory in the study's configuration and run again."
        )


@pytest.mark.faults
def test_a_job_over_its_time_gets_more(study: ClusterStudy, fault: Fault) -> None:
    """The job's process is stopped, as one that waits for a dead file system, until SLURM ends it."""
    before = (study.folder / SAMPLES).read_bytes()
    study.change(small_requests(1500))
    with fault("time limit", "a job's process stood still", "killed after its minute, again with 2; limit named"):
        run = one_job(study)
        stop_still(study.cluster, job_runs(study))
        finishes_alike(study, run, before)
        jobs = study.slurm_jobs()
        assert [(job["TimelimitRaw"], job["State"]) for job in jobs] == [("1", "TIMEOUT"), ("2", "COMPLETED")]
        assert f"was stopped at its time limit of 1 min (SLURM job {jobs[0]['JobIDRaw']})" in study.said()


def goes_first(cluster: Cluster) -> None:
    """A job on all of both nodes, from the partition that preempts the others."""
    urgent = ["--partition=urgent", "--account=lab", "--time=2", "--nodes=2", "--exclusive", "--output=/dev/null"]
    cluster.run("sbatch", *urgent, "--wrap=sleep 3")


def stop_still(cluster: Cluster, job: str) -> None:
    """Stop the stage's own process of a SLURM job."""

    def stages() -> set[int]:
        ours = processes_with(f"SLURM_CONF={cluster.folder}/slurm.conf\0") & processes_with(f"SLURM_JOB_ID={job}\0")
        return ours & processes_with("scripts/sample_responses.py")

    wait_until(stages, f"the process of job {job}")
    for pid in stages():
        kill(pid, signal.SIGSTOP)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("partition", "expected"),
    [("cpu", ["COMPLETED"]), ("cheap", ["PREEMPTED", "COMPLETED"])],
    ids=["requeued by SLURM", "cancelled by SLURM"],
)
def test_a_preempted_job_is_done_again(study: ClusterStudy, fault: Fault, partition: str, expected: list[str]) -> None:
    """Partition cheap has PreemptMode=CANCEL: SLURM ends such a job, and Snakemake must submit it again."""
    before = (study.folder / SAMPLES).read_bytes()
    profile = study.folder / "slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("slurm_partition: cpu", f"slurm_partition: {partition}"))
    who = "SLURM" if partition == "cpu" else "Snakemake"
    with fault(
        f"preemption, PreemptMode={'REQUEUE' if partition == 'cpu' else 'CANCEL'}",
        "a job of a partition that goes first took both nodes",
        f"queued again by {who}; same samples, byte for byte",
    ):
        run = one_job(study)
        job_runs(study)
        goes_first(study.cluster)
        finishes_alike(study, run, before)
        assert states(study)[-1:] == ["COMPLETED"] and "PREEMPTED" in states(study)
        assert len({job["JobIDRaw"] for job in study.slurm_jobs()}) == len(expected)


@pytest.mark.faults
def test_a_preempted_training_saves_within_its_grace_time(study: ClusterStudy, fault: Fault) -> None:
    """Partition patient has GraceTime=30: SIGTERM first, and the end half a minute later."""
    model = "results/tiny/seed1/one/M2/model.json"
    training = (model, "--forcerun", "train_policy", "--allowed-rules", "train_policy")
    log = study.folder / "results/logs/train_policy/tiny/seed1/one/M2.log"
    study.change(SMALL + "train: {epochs: 400}\n")
    study.submit(*training)
    before = (study.folder / model).read_bytes()
    profile = study.folder / "slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("slurm_partition: cpu", "slurm_partition: patient"))
    with fault(
        "preemption of a training, with grace",
        "SIGTERM, half a minute before the end, from jobs that go first",
        "a checkpoint behind the running step, none before; went on from it; same model, byte for byte",
    ):
        log.unlink()
        run = study.started(*training)
        wait_until(lambda: log.exists() and "step 20/" in log.read_text(), "twenty steps")
        goes_first(study.cluster)
        finishes_alike(study, run, before, model)
        assert re.search(r"going on from results/scratch/\S+/checkpoint-\d+$", log.read_text(), re.MULTILINE)
        assert len(states(study)) > 1, states(study)


@pytest.mark.faults
def test_a_silent_database_loses_no_job(study: ClusterStudy, fault: Fault) -> None:
    before = (study.folder / SAMPLES).read_bytes()
    with fault("slurmdbd down", "the accounting daemon stopped while a job ran", "waited, said so once, went on"):
        run = one_job(study)
        job_runs(study)
        study.cluster.stop_database()
        try:
            wait_until(lambda: "gives no answer" in study.said(), "the warning")
        finally:
            study.cluster.start_database()
        finishes_alike(study, run, before)
        assert "SLURM answers again." in study.said()


@pytest.mark.faults
def test_a_study_survives_a_restart_a_cancellation_and_a_dead_node(
    fresh: ClusterStudy, finished: ClusterStudy, tmp_path: Path, fault: Fault
) -> None:
    study = fresh.copy(tmp_path / "project")
    cluster = study.cluster
    with fault(
        "one study through three faults",
        "slurmctld restarted, then a running job cancelled, then a node killed with its jobs (back after the study)",
        "the study completes; its tables are those of the undisturbed run, byte for byte",
    ):
        run = study.started()
        try:
            first = job_runs(study)
            cluster.stop_controller()
            cluster.start_controller()
            second = job_runs(study, after=first)
            cluster.run("scancel", second)
            third = job_runs(study, after=second)
            dead = cluster.run("squeue", "-h", "-j", third, "-o", "%N").strip()
            cluster.stop_node(dead)
            assert study.ended(run, within=900) == 0, study.said()[-5000:]
        finally:
            for node in ("n1", "n2"):
                cluster.stop_node(node)
                cluster.start_node(node)
        assert {"CANCELLED", "NODE_FAIL"} <= set(states(study))
        assert study.tables() == finished.tables()
