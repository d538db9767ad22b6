"""The tiny study by `snakemake --profile slurm`: all of it, a part again, in shards, on two GPUs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from clustered import SMALL, ClusterStudy
from safetensors.numpy import load_file

from cream.tables import LOGPROBS, SAMPLES, read_table

RUN = "results/tiny/seed1"
# Rules whose jobs go to SLURM; all others run where Snakemake does.
ON_SLURM = {
    *("convert_model", "copy_reward_model", "train_sft", "sample_responses", "score_M1", "judge_responses"),
    *("reward_responses", "train_policy", "evaluate_model", "answer_instructions", "judge_answers"),
}


def submitted(study: ClusterStudy) -> list[str]:
    """Rules of the jobs that the last run gave to SLURM."""
    return re.findall(r"has been submitted with SLURM jobid \d+ \(log: \S*/slurm_logs/rule_(\w+)/", study.said())


def test_the_whole_study_runs_in_slurm(fresh: ClusterStudy, finished: ClusterStudy) -> None:
    planned = fresh.planned()
    assert set(submitted(finished)) == planned.keys() & ON_SLURM == ON_SLURM
    jobs = finished.slurm_jobs()
    assert [job["State"] for job in jobs] == ["COMPLETED"] * sum(planned[rule] for rule in ON_SLURM)
    # The records say the same.
    records = [json.loads(path.read_text()) for path in finished.folder.glob("results/**/*.record.json")]
    in_slurm = {record["slurm_job_id"] for record in records if record["slurm_job_id"]}
    assert in_slurm == {job["JobIDRaw"] for job in jobs}
    assert {"accuracy.csv", "win_rates.csv", "summary.txt"} <= finished.tables().keys()


def test_one_stage_again_makes_what_follows_and_nothing_else(study: ClusterStudy) -> None:
    before = study.tables()
    study.submit("--forcerun", "evaluate_model")
    assert submitted(study) == ["evaluate_model"] * 3
    assert {job["State"] for job in study.slurm_jobs()} == {"COMPLETED"}
    assert study.tables() == before
    assert "Nothing to be done" in study.run("--dry-run")


def test_shards_are_jobs_of_their_own_and_make_the_same_tables(study: ClusterStudy) -> None:
    samples, logprobs = f"{RUN}/sft/M1/samples.parquet", f"{RUN}/sft/M1/logprobs/M1.parquet"
    before = [read_table(study.folder / samples, SAMPLES), read_table(study.folder / logprobs, LOGPROBS)]
    study.change(SMALL.replace("{methods", "{shards: 3, methods"))
    study.submit(samples, logprobs)
    assert sorted(submitted(study)) == ["sample_responses"] * 3 + ["score_M1"] * 3
    assert len({job["JobIDRaw"] for job in study.slurm_jobs()}) == 6
    assert read_table(study.folder / samples, SAMPLES).equals(before[0])
    assert read_table(study.folder / logprobs, LOGPROBS).equals(before[1])


def test_two_processes_share_a_training_under_srun(study: ClusterStudy) -> None:
    adapter = study.folder / RUN / "one/M2/model/adapter_model.safetensors"
    alone = load_file(adapter)
    study.change(SMALL + "compute: {processes: {train: 2}}\n")
    study.submit(f"{RUN}/one/M2/model.json", "--allowed-rules", "train_policy")
    (job,) = study.slurm_jobs()
    record = json.loads(Path(f"{adapter.parent}.record.json").read_text())
    assert (record["processes"], record["slurm_job_id"]) == (2, job["JobIDRaw"])
    assert "cpu=2" in job["AllocTRES"]
    together = load_file(adapter)
    assert together.keys() == alone.keys()
    assert max(abs(together[name] - alone[name]).max() for name in alone) < 1e-5


@pytest.mark.parametrize("way", ["gpus", "gres"])
def test_slurm_gives_out_the_gpus_a_training_was_promised(study: ClusterStudy, way: str) -> None:
    """Those of the test cluster can be given out but not computed on: the job says so, and nothing is trained."""
    study.change(SMALL + "compute: {platform: cuda, processes: {train: 2}}\n")
    profile = study.folder / "slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("gpu_request: gpus", f"gpu_request: {way}"))
    run = study.started(f"{RUN}/one/M2/model.json", "--allowed-rules", "train_policy", "--retries", "0")
    assert study.ended(run) == 1
    (job,) = study.slurm_jobs()
    assert (job["Partition"], job["NodeList"], job["State"]) == ("gpu", "n2", "FAILED")
    assert "gres/gpu=2" in job["AllocTRES"]
    log = (study.folder / "results/logs/train_policy/tiny/seed1/one/M2.log").read_text()
    assert "promised 2 GPUs and finds 0 (CUDA_VISIBLE_DEVICES: 0,1)" in log
