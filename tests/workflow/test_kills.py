"""Stages and Snakemake itself killed at any moment: the next run goes on, and makes the undisturbed results."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Study

from cream.digests import file_digest
from cream.engines.hf_checkpoints import EVERY

M1, M2 = "results/tiny/seed1/sft/M1", "results/tiny/seed1/cream/M2"
ITERATION = "results/tiny/seed1/cream/iter1"
# One artifact of every kind of stage, and the script that makes it.
STAGES = {
    "results/data/pool/colours.parquet": "build_pool",
    "results/tiny/base/M0/model.json": "convert_model",
    "results/tiny/data/prompts/iter1.parquet": "encode_split",
    f"{M1}/model.json": "train_sft",
    f"{M1}/samples.parquet": "sample_responses",
    f"{M1}/logprobs/M0.parquet": "score_responses",
    f"{M1}/verdicts.parquet": "verify_responses",
    f"{ITERATION}/rewards.parquet": "compute_rewards",
    f"{ITERATION}/consistency.parquet": "measure_consistency",
    f"{ITERATION}/agreement.parquet": "measure_agreement",
    f"{ITERATION}/pairs.parquet": "build_pairs",
    f"{M2}/model.json": "train_policy",
    f"{M2}/eval/colours.json": "evaluate_model",
    "results/tables/accuracy.csv": "make_tables",
    "results/tables/comparisons.csv": "compare_models",
}
TRIES, SEED = 20, 3
Fault = Callable[..., object]


def started(study: Study, *arguments: str) -> subprocess.Popen[str]:
    command = ["-m", "snakemake", *arguments, "--cores", "1", "--nocolor", "--configfile", "studies/tiny.yaml"]
    command += ["change.yaml"] if (study.folder / "change.yaml").exists() else []
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=study.folder,
        env={**os.environ, EVERY: "0"},  # every step has its checkpoint
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def process_of(study: Study, script: str, run: subprocess.Popen[str]) -> int | None:
    """Wait for the process of a stage in this study; None if the run ends first."""
    while run.poll() is None:
        found = set()
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if f"scripts/{script}.py".encode() in words and (process / "cwd").readlink() == study.folder:
                    found.add(int(process.name))
            except (OSError, ValueError):
                continue
        if found:
            return min(found)
        time.sleep(0.02)
    return None


def removed(study: Study, artifact: str) -> str:
    """Take an artifact away, for a run to make again; its digest."""
    path = study.folder / artifact
    digest = file_digest(path)
    path.unlink()
    return digest


def left_behind(study: Study) -> list[Path]:
    """Unfinished work, which must be gone when all is finished."""
    results = study.folder / "results"
    scratch = [path for path in (results / "scratch").rglob("*") if path.is_file()]
    return scratch + list(results.rglob("*.new-*")) + list(results.rglob(".running*"))


def killed_at(study: Study, artifact: str, share: float) -> bool:
    """Kill the stage that makes an artifact after that share of the time it took before; whether it came to that."""
    record = next((study.folder / artifact).parent.glob(f"{Path(artifact).stem}*.record.json"), None)
    seconds = 5.0 if record is None else 1 + recorded_seconds(record)
    run = started(study, artifact)
    pid = process_of(study, STAGES[artifact], run)
    time.sleep(share * seconds)
    alive = pid is not None and run.poll() is None
    if alive:
        with contextlib.suppress(ProcessLookupError):  # its Snakemake is just reading that it has ended
            os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=120)
    return alive and run.returncode != 0


def recorded_seconds(record: Path) -> float:
    return float(json.loads(record.read_text())["seconds"])


def goes_on(study: Study, artifact: str, share: float) -> bool:
    before = removed(study, artifact)
    killed = killed_at(study, artifact, share)
    if killed:
        study.run(artifact, "--rerun-incomplete")
    assert file_digest(study.folder / artifact) == before
    assert left_behind(study) == []
    return killed


def test_a_killed_training_goes_on_from_its_checkpoint(study: Study) -> None:
    artifact = f"{M2}/model.json"
    study.change("train: {epochs: 40}")  # steps enough to be killed between two of them
    study.run(artifact)
    before = removed(study, artifact)
    run = started(study, artifact)
    pid = process_of(study, STAGES[artifact], run)
    checkpoints = study.folder / "results/scratch/tiny/seed1/cream/M2/model.checkpoints"
    until(lambda: list(checkpoints.glob("*/whole.json")))
    os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=120)
    assert run.returncode == 1
    study.run(artifact, "--rerun-incomplete")
    assert (
        "going on from results/scratch/"
        in (study.folder / "results/logs/train_policy/tiny/seed1/cream/M2.log").read_text()
    )
    assert file_digest(study.folder / artifact) == before
    assert left_behind(study) == []


@pytest.mark.parametrize("begun", [False, True], ids=["before it begins", "at work"])
def test_a_job_that_is_asked_to_end_ends_and_says_so(study: Study, begun: bool) -> None:
    """SIGTERM goes to the shell around a stage and to its `tee`, too, as a cluster sends it."""
    study.change("train: {epochs: 4000}")  # minutes and minutes, where the signal is lost
    log = study.folder / "results/logs/train_policy/tiny/seed1/cream/M2.log"
    log.unlink()
    run = started(study, f"{M2}/model.json")
    stage = process_of(study, "train_policy", run)
    if begun:
        until(lambda: log.exists() and "step 2/" in log.read_text())
    for pid in job_of(stage):
        os.kill(pid, signal.SIGTERM)
    try:
        run.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 1
    said = log.read_text()
    assert ("step " in said) == begun
    assert ("error: asked to end (SIGTERM)" in said) == begun


def job_of(stage: int) -> list[int]:
    """The processes of a stage's job: its shell, and what that has started."""
    shell = int(Path(f"/proc/{stage}/stat").read_text().rpartition(")")[2].split()[1])
    return [shell, *map(int, Path(f"/proc/{shell}/task/{shell}/children").read_text().split())]


@pytest.mark.faults
def test_kills_at_random_moments_of_all_stages(study: Study, fault: Fault) -> None:
    with fault(
        "SIGKILL of a stage",
        f"{TRIES} tries over {len(STAGES)} kinds of stage at seeded random moments",
        "the next run went on; every artifact the same, byte for byte; no unfinished file left",
    ):
        chance = random.Random(SEED)
        order = list(STAGES) + chance.sample(list(STAGES), TRIES - len(STAGES))
        killed = [artifact for artifact in order if goes_on(study, artifact, chance.random())]
        print(f"{len(killed)} of {TRIES} were killed before they had ended")
        assert len(killed) >= TRIES // 2


def test_a_killed_snakemakes_jobs_are_not_done_twice(study: Study, fault: Fault) -> None:
    with fault(
        "SIGKILL of Snakemake",
        "killed while a training ran; `--unlock`, and started again at once",
        "the new job waited for the one that was left running, and computed nothing",
    ):
        artifact = f"{M2}/model.json"
        before = removed(study, artifact)
        run = started(study, artifact)
        twin = process_of(study, "train_policy", run)
        try:
            until((study.folder / "results/scratch/tiny/seed1/cream/M2/model.lease").exists)
            os.kill(twin, signal.SIGSTOP)  # a long training, so that the next run meets it
            os.kill(run.pid, signal.SIGKILL)
            run.wait(timeout=60)
            study.run("--unlock")
            again = started(study, artifact, "--rerun-incomplete")
            log = study.folder / "results/logs/train_policy/tiny/seed1/cream/M2.log"
            until(lambda: (log.exists() and "waiting for process" in log.read_text()) or again.poll() is not None)
        finally:
            os.kill(twin, signal.SIGCONT)
        out, _ = again.communicate(timeout=120)
        assert again.returncode == 0, out
        assert f"waiting for process {twin} of " in log.read_text() and "nothing left to do" in log.read_text()
        assert file_digest(study.folder / artifact) == before
        assert left_behind(study) == []


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_snakemake_at_a_time_works_on_a_results_folder(study: Study, tmp_path: Path, fault: Fault) -> None:
    """Two clones of the code, one results folder: Snakemake's own lock doesn't see the other."""
    with fault(
        "two Snakemakes, one results folder",
        "a second one started, in the same clone and in another whose `results` is a link to it",
        "refused with one sentence; nothing touched",
    ):
        other = Study.with_code(tmp_path / "other")
        (other.folder / "results").symlink_to(study.folder / "results")
        first = started(study, f"{M2}/eval/colours.json", "--forcerun", "evaluate_model")
        try:
            until((study.folder / "results/.running").exists)
            elsewhere = other.snakemake("--forcerun", "make_tables")
            assert elsewhere.returncode == 1
            (line,) = [line for line in elsewhere.stderr.splitlines() if line.startswith("error:")]
            assert line.startswith(f"error: another Snakemake works on results/: process {first.pid} of ")
            assert "wait until it ends, or end it" in line and "Traceback" not in elsewhere.stderr
            here = study.snakemake("--forcerun", "make_tables")
            assert here.returncode == 1 and "cannot be locked" in here.stderr
        finally:
            out, _ = first.communicate(timeout=120)
        assert first.returncode == 0, out
        assert left_behind(study) == []


def test_a_preflight_may_run_beside_a_study(study: Study, tmp_path: Path) -> None:
    """It makes no result: in the same clone, and in another whose `results` is a link to it."""
    other = Study.with_code(tmp_path / "other")
    (other.folder / "results").symlink_to(study.folder / "results")
    first = started(study, f"{M2}/eval/colours.json", "--forcerun", "evaluate_model")
    stage = process_of(study, "evaluate_model", first)
    os.kill(stage, signal.SIGSTOP)  # it must not be done before the others have looked
    try:
        looked = [each.snakemake("preflight") for each in (study, other)]
        assert first.poll() is None
    finally:
        os.kill(stage, signal.SIGCONT)
        out, _ = first.communicate(timeout=120)
    for done in looked:
        assert " checks: " in done.stdout and "another Snakemake" not in done.stderr, done.stdout + done.stderr
    assert first.returncode == 0, out
    assert left_behind(study) == []
