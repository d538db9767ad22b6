"""Reward quality on the tiny study: from its own tables, from a judge's votes, from a RewardBench file."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from projects import Study

from cream.reward_bench import REWARD_BENCH, TOO_LONG
from cream.tables import JUDGEMENTS, SAMPLES, VERDICTS, read_table

RUN = "results/tiny/seed1"
TABLE = "results/tables/reward_quality.csv"
OWNER = ["method", "iteration"]


def test_accuracy_on_samples_is_the_agreement_that_every_iteration_measures(finished: Study) -> None:
    table = pd.read_csv(finished.folder / TABLE)
    assert set(table["data"]) == {"samples"} and set(table["signal"]) == {"implicit"}
    assert set(table["subset"].dropna()) <= {"colours", "sums"}
    overall = table[table["subset"].isna()].set_index([*OWNER, "measure"])
    assert set(overall.index.droplevel("measure")) == {("sft", 1), ("srlm", 2), ("cream", 2)}
    assert (overall["used"] + overall["left_out"] == overall["prompts"]).all()
    consistency = pd.read_csv(finished.folder / "results/tables/consistency.csv")
    agreed = consistency[consistency["measure"] == "self_accuracy"].set_index(OWNER)
    numbers = ["mean", "low", "high", "prompts", "used", "left_out"]
    for method, t in agreed.index:
        mine = overall.loc[("sft" if t == 1 else method, t, "accuracy")]
        assert mine[numbers].tolist() == agreed.loc[(method, t), numbers].tolist()


def test_a_judge_is_measured_by_its_mean_vote(study: Study) -> None:
    study.change("study: {methods: [sft, p-srlm], iterations: 1}")
    assert study.planned(TABLE) == {"judge_responses": 1, "measure_reward_quality": 1}
    study.run(TABLE)
    table = pd.read_csv(study.folder / TABLE)
    assert set(zip(table["method"], table["iteration"], strict=True)) == {("sft", 1)}
    folder = study.folder / RUN / "sft/M1"
    votes = read_table(folder / "judgements/M1.parquet", JUDGEMENTS)
    key = ["prompt_id", "response_index"]
    samples = read_table(folder / "samples.parquet", SAMPLES).merge(read_table(folder / "verdicts.parquet", VERDICTS))
    samples["same"] = samples["response_ids"].map(tuple)
    # Equal responses share their votes.
    together = votes.merge(samples[[*key, "same"]]).groupby(["prompt_id", "same"])["score"].mean().rename("score")
    scored = samples.join(together, on=["prompt_id", "same"])
    shares = []
    for _, group in scored.groupby("prompt_id"):
        known = group.dropna(subset=["score", "verdict"])
        right, wrong = (known.loc[known["verdict"] == verdict, "score"].round(9) for verdict in (1, 0))
        points = [(r > w) + 0.5 * (r == w) for r in right for w in wrong]
        shares += [sum(points) / len(points)] if points else []
    row = table[(table["signal"] == "judge") & (table["measure"] == "accuracy") & table["subset"].isna()].squeeze()
    assert row["used"] == len(shares) > 0
    assert row["mean"] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
    assert row["unscored"] == scored["score"].isna().sum()


ITEMS = [
    {"id": 1, "subset": "easy", "prompt": "Which colour is it? blue / red", "chosen": "red", "rejected": "Answer: 7"},
    {"id": 2, "subset": "easy", "prompt": "3 + 4 = ?", "chosen": "Answer: 7", "rejected": "red"},
    {"id": 3, "prompt": [{"role": "user", "content": "1 + 1 = ?"}], "chosen": "Answer: 2", "rejected": "Answer: 9"},
    {"id": 4, "subset": "long", "prompt": "3 + 4 = ?", "chosen": "red " * 400, "rejected": "red"},
]
# M0, M1, and M2 and M3 of two methods.
BENCH_JOBS = {"score_reward_bench": 6, "measure_reward_quality": 1, "make_report": 1, "audit_page": 1}


def test_a_reward_bench_file_is_scored_by_every_model(study: Study) -> None:
    file = study.folder / "items.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    study.change("study: {reward_bench: items.jsonl}")
    assert study.planned() == BENCH_JOBS
    study.run()
    table = pd.read_csv(study.folder / TABLE)
    table = table[table["data"] == "reward_bench"].fillna({"subset": ""})
    assert set(zip(table["method"], table["iteration"], strict=True)) == {
        ("sft", 1),
        *((method, t) for method in ("srlm", "cream") for t in (2, 3)),
    }
    assert set(table["subset"]) == {"", "easy", "long"} and set(table["measure"]) == {"accuracy"}
    base = read_table(study.folder / "results/tiny/base/M0/reward_bench.parquet", REWARD_BENCH)
    cream = read_table(study.folder / RUN / "cream/M3/reward_bench.parquet", REWARD_BENCH)
    gains = [cream[f"{answer}_logprob_sum"] - base[f"{answer}_logprob_sum"] for answer in ("chosen", "rejected")]
    ahead = [1.0 if c > r else 0.5 if c == r else 0.0 for c, r in zip(*gains, strict=True)][:3]
    rows = table[(table["method"] == "cream") & (table["iteration"] == 3)].set_index("subset")
    assert rows.loc["", "mean"] == pytest.approx(sum(ahead) / 3, abs=1e-6)
    assert rows.loc["easy", "mean"] == pytest.approx(sum(ahead[:2]) / 2, abs=1e-6)
    assert rows.loc["", ["prompts", "used", "pairs", "left_out"]].tolist() == [4, 3, 3, 1]
    assert math.isnan(rows.loc["long", "mean"]) and rows.loc["long", "why"] == f"1 {TOO_LONG}"
    assert study.planned() == {}
    file.write_text("".join(json.dumps(item) + "\n" for item in ITEMS[:2]))
    assert study.planned() == BENCH_JOBS


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere.jsonl", "study.reward_bench: there is no file nowhere.jsonl"),
        ("items.csv", "study.reward_bench: 'items.csv' must match"),
        ("5", "study.reward_bench: 5 must be of type string or null"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_runs(study: Study, path: str, says: str) -> None:
    study.change(f"study: {{reward_bench: {path}}}")
    done = study.snakemake("--dry-run")
    assert done.returncode != 0 and says in done.stderr and "Traceback" not in done.stderr
