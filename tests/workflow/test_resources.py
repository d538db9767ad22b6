"""What the plan asks SLURM for: from the study's sizes, in the way the site asks for GPUs."""

from __future__ import annotations

import re

import pytest
from projects import Study

SITE = ["slurm_partition=short", "gpu_partition=accelerated"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    found = Study.with_code(tmp_path_factory.mktemp("resources"))
    done = found.python("tests/tiny.py", "results/assets/tiny")
    assert done.returncode == 0, done.stderr
    return found


def asked(study: Study, rule: str, *arguments: str) -> dict[str, str]:
    """The resources of a rule's first job in a dry run."""
    output = study.run("--dry-run", *arguments)
    job = re.search(rf"^rule {rule}:\n(?:    .*\n)*?    resources: (.*)$", output, re.MULTILINE)
    assert job, output[-3000:]
    return dict(item.split("=", 1) for item in job[1].split(", "))


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("gpus", {"gpu": "2"}),
        ("gpus:h100", {"gpu": "2", "gpu_model": "h100"}),
        ("gres", {"gres": "gpu:2"}),
        ("gres:h100", {"gres": "gpu:h100:2"}),
    ],
)
def test_gpus_are_asked_for_as_the_site_does(study: Study, way: str, expected: dict[str, str]) -> None:
    study.change("compute: {platform: cuda, processes: {train: 2}, threads: {train: 3}}")
    found = asked(study, "train_policy", "--default-resources", *SITE, f"gpu_request={way}")
    assert {key: found.get(key) for key in ("gpu", "gpu_model", "gres") if key in found} == expected
    assert found["slurm_partition"] == "accelerated"


def test_without_gpus_jobs_stay_in_the_plain_partition(study: Study) -> None:
    study.change("{}")
    found = asked(study, "train_policy", "--default-resources", *SITE, "gpu_request=gpus")
    assert found["slurm_partition"] == "short"
    assert not {"gpu", "gpu_model", "gres"} & set(found)


def test_asking_an_endpoint_takes_no_gpu(study: Study) -> None:
    judge = "{endpoint: 'http://127.0.0.1:9/v1', model: m, key_from: null, max_new_tokens: 9, parallel: 1, retries: 0}"
    wanted = "study: {instructions: [everyday], judge: %s}, compute: {platform: cuda}"
    site = ["--default-resources", *SITE, "gpu_request=gpus"]
    study.change("{" + wanted % "local" + "}")
    assert asked(study, "judge_answers", *site)["gpu"] == "1"
    study.change("{" + wanted % "hosted" + ", judges: {hosted: " + judge + "}}")
    found = asked(study, "judge_answers", *site)
    assert found["slurm_partition"] == "short" and not {"gpu", "expected_seconds"} & set(found)


def test_memory_and_time_follow_the_model(study: Study) -> None:
    study.change("{}")
    small = asked(study, "sample_responses")
    study.change("{models: {tiny: {parameters: 8000000000}}, cluster: {seconds: {sample: 50}}}")
    large = asked(study, "sample_responses")
    # 16 prompts, 4 responses, 12 tokens, 8 billion parameters, 50 s; three times that and no less than 10 min.
    assert int(small["runtime"]) == 10
    assert int(large["expected_seconds"]) == pytest.approx(10 + 16 * 4 * 12 / 1000 * 8 * 50, abs=1)
    assert int(large["runtime"]) == pytest.approx(3 * int(large["expected_seconds"]) / 60, abs=1)
    assert int(large["mem_mb"]) == pytest.approx(1.5 * (1200 + 8000 * 4), rel=0.01)


def test_the_profile_is_one_snakemake_reads(study: Study) -> None:
    """Every key of slurm/profile.yaml is known, and what is submitted has a partition and an account."""
    study.change("{}")
    found = asked(study, "train_sft", "--profile", "slurm", "--executor", "local")
    assert {"slurm_partition", "gpu_partition", "gpu_request", "slurm_account"} <= set(found)
