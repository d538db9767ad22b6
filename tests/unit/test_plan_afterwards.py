"""Records and SLURM's accounting against the plan: what belongs together, sums, and nothing dropped."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from test_plan_forecast import job

from cream.cluster import accounting
from cream.cluster.accounting import Accounted
from cream.cluster.afterwards import efficiency_by_records, efficiency_by_slurm, estimates, match
from cream.cluster.jobs import Job
from cream.cluster.rates import rates

# In the form that sacct of SLURM 22.05 prints; tests/slurm/test_accounting.py asks a real one.
SACCT = """\
1|COMPLETED|8|1|00:07.014||1802M|billing=1,cpu=1,gres/gpu=2,mem=1802M,node=1
1.batch|COMPLETED|8|1|00:01.779|196816K||cpu=1,gres/gpu=2,mem=1802M,node=1
1.0|COMPLETED|5|1|00:05.235|250364K||cpu=1,gres/gpu=2,mem=1802M,node=1
2|CANCELLED by 0|100|4|01:40.000||2G|billing=4,cpu=4,mem=2G,node=1
2.batch|CANCELLED|101|4|01:40.000|1.50G||cpu=4,mem=2G,node=1
3|PENDING|0|0|00:00:00||500M|
"""


def record(stage: str, *outputs: str, work: float = 8.0, slurm: str | None = None, **other: object) -> dict:
    return {
        "stage": stage,
        "outputs": dict.fromkeys(outputs, "digest"),
        "phases": {"start": 0.5, "import": 1.5, "work": work},
        "peak_memory_mb": 2000,
        "processes": 1,
        "slurm_job_id": slurm,
        "observed": {},
        "packages": {"torch": "2.13.0"},
        "settings": {},
        **other,
    }


def made(rule: str, seconds: int, *outputs: str, **other: object) -> Job:
    plain = job(rule, seconds, **other)
    return Job(**{**vars(plain), "outputs": outputs})


SFT = made("train_sft", 20, "m1/model", "m1/model.json", gpus=2, threads=2, memory_mb=4000)
SAMPLE = made("sample_responses", 5, "m1/samples.parquet")
UNDONE = made("evaluate_model", 7, "m1/eval.json")


def test_records_go_to_the_job_that_makes_their_output_and_the_rest_is_counted() -> None:
    trained, sampled = record("train_sft", "m1/model"), record("sample_responses", "m1/samples.parquet")
    stray = record("sample_responses", "other/samples.parquet")
    found = match([SFT, SAMPLE, UNDONE], [sampled, stray, trained])
    assert found.pairs == [(SFT, trained), (SAMPLE, sampled)]
    assert found.jobs_without_record == [UNDONE] and found.records_without_job == [stray]


def test_estimates_stand_beside_what_was_taken() -> None:
    pairs = [(SFT, record("train_sft", work=38.0, slurm="1")), (SAMPLE, record("sample_responses"))]
    found = estimates(pairs, {}).set_index("stage")
    assert found.loc["supervised fine-tuning", ["estimated", "actual", "ratio"]].tolist() == [20, 40, 2]
    assert found.loc["all", ["jobs", "estimated", "actual", "ratio"]].tolist() == [2, 25, 50, 2]
    by_slurm = estimates(pairs, accounting.parse(SACCT)).set_index("stage")
    assert by_slurm.loc["supervised fine-tuning", "actual"] == 8
    assert by_slurm.loc["sampling", "actual"] == 10


def test_efficiency_by_records() -> None:
    pairs = [
        (SFT, record("train_sft", work=38.0, cpu_seconds=30.0, processes=2)),
        (SAMPLE, record("sample_responses")),  # from before processor seconds were recorded
    ]
    found = efficiency_by_records(pairs).set_index("stage")
    training = found.loc["supervised fine-tuning"]
    assert training["gpu_hours"] == pytest.approx(2 * 40 / 3600)
    assert training["busy"] == pytest.approx(2 * 30 / (2 * 40))
    assert (training["memory_mb"], training["asked_mb"]) == (2000, 4000)
    assert math.isnan(found.loc["sampling", "busy"])
    assert found.loc["all", "busy"] == training["busy"]
    assert found.loc["all", "core_hours"] == pytest.approx((2 * 40 + 10) / 3600)


def test_sacct_is_read_as_it_prints() -> None:
    found = accounting.parse(SACCT)
    assert found["1"] == Accounted("1", "COMPLETED", 8, 1, 7.014, pytest.approx(250364 / 1024), 1802, 2)
    assert found["2"] == Accounted("2", "CANCELLED", 100, 4, 100, 1536, 2048, 0)
    assert found["3"] == Accounted("3", "PENDING", 0, 0, 0, None, 500, 0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:01.500", 1.5), ("01:02:03", 3723), ("2-00:00:01", 172801), ("", 0), ("59:59", 3599)]
)
def test_clocks(text: str, seconds: float) -> None:
    assert accounting.seconds(text) == seconds


def test_efficiency_by_slurm_counts_every_attempt() -> None:
    rules = {"1": "train_sft", "2": "train_sft", "3": "sample_responses"}
    found = efficiency_by_slurm(accounting.parse(SACCT).values(), rules).set_index("stage")
    training = found.loc["supervised fine-tuning"]
    assert training["jobs"] == 2
    assert training["gpu_hours"] == pytest.approx(2 * 8 / 3600)
    assert training["busy"] == pytest.approx((7.014 + 100) / (8 + 4 * 100))
    assert (training["memory_mb"], training["asked_mb"]) == (1536, 2048)
    assert found.loc["all", "jobs"] == 3


def test_attempts_are_known_by_their_logs(tmp_path: Path) -> None:
    for name in ("rule_train_sft/tiny_1/2.log", "rule_score_M1/tiny_1_sft/17.log", "rule_score_M1/notes.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert accounting.submitted(tmp_path) == {"2": "train_sft", "17": "score_M1"}
    assert accounting.submitted(tmp_path / "nowhere") == {}


def test_rates_are_medians_and_memory_the_largest() -> None:
    def pair(work: float, units: int, memory: int) -> tuple[Job, dict]:
        # At the rates of one, seconds are kilotokens times parameters, and memory is the parameters.
        asked = made("sample_responses", units, "x", memory_mb=10**9 + 1)
        return asked, record("sample_responses", "x", work=work, peak_memory_mb=memory)

    pairs = [pair(10, 10**9, 3000), pair(60, 3 * 10**9, 2500), pair(90, 3 * 10**9, 5200)]
    pairs.append((made("compute_rewards", 2, "y", rated=False), record("compute_rewards", "y", peak_memory_mb=1)))
    # Most of it was done in a try before.
    killed, rest = pair(0.1, 10**9, 3000)
    pairs.append((killed, {**rest, "observed": {"continues_an_earlier_try": True}}))
    assert rates(pairs, 1200, {}) == {
        "start_seconds": 2,
        "seconds": {"sample": 20},
        "bytes": {"sample": 4},
        "memory_mb": 1200,
    }
    assert rates(pairs, 2600, {})["memory_mb"] == 2500
    assert rates(pairs[3:], 1200, {}) == {}
