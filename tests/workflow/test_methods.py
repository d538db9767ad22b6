"""Every row of the method table, end to end on the tiny study; and what rows share."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from projects import PROJECT, Study

from cream.digests import folder_digests
from cream.tables import AGREEMENT, CONSISTENCY, JUDGEMENTS, PAIRS, REWARDS, SAMPLES, VERDICTS, read_table

RUN = "results/tiny/seed1"
ROWS = [
    name
    for name, row in yaml.safe_load((PROJECT / "config.yaml").read_text())["methods"].items()
    if not row.get("stop_at_m1")
]
KEY = ["prompt_id", "response_index"]
TARGETS = ["train", "consistency", *(f"{RUN}/{row}/M4/eval/colours.json" for row in ROWS)]


def change(**config: object) -> str:
    """Settings over the tiny study."""
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def everything(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """All rows for three iterations, begun from the finished study of two rows and two iterations."""
    study = finished.copy(tmp_path_factory.mktemp("methods") / "project")
    study.change(
        change(
            study={"methods": ["sft", *ROWS, "constant-one"], "iterations": 3},
            methods={
                "constant-one": {"preset": "constant", "consistency": {"value": 1.0}},
                "ensemble-uwo": {"aggregate": {"models": 3}},
            },
        )
    )
    # Of the evaluations only each row's last: all of them would take as long as the training.
    # The optimising scheduler would compute as long as the jobs.
    study.run(*TARGETS, "--keep-going", "--scheduler", "greedy")
    return study


def pairs_of(study: Study, method: str, t: int) -> pd.DataFrame:
    return read_table(study.folder / RUN / method / f"iter{t}/pairs.parquet", PAIRS)


def consistency_of(study: Study, method: str, t: int) -> pd.DataFrame:
    return read_table(study.folder / RUN / method / f"iter{t}/consistency.parquet", CONSISTENCY)


def responses_of(study: Study, method: str, t: int) -> Path:
    return study.folder / RUN / ("sft" if t == 1 else method) / f"M{t}"


@pytest.mark.parametrize("method", ROWS)
def test_every_row_runs_to_its_last_model(everything: Study, method: str) -> None:
    for t in (1, 2, 3):
        pairs = pairs_of(everything, method, t)
        assert (pairs["chosen_ids"].map(tuple) != pairs["rejected_ids"].map(tuple)).all()
        weights = consistency_of(everything, method, t).set_index("prompt_id")["weight"]
        assert pairs["weight"].tolist() == weights[pairs["prompt_id"]].tolist()
    record = json.loads((everything.folder / RUN / method / "M4/model.record.json").read_text())
    assert record["observed"]["pairs"] == len(pairs)
    assert (everything.folder / RUN / method / "M4/eval/colours.json").exists()
    before, after = (folder_digests(everything.folder / RUN / method / f"M{t}/model") for t in (2, 3))
    assert before["adapter_model.safetensors"] != after["adapter_model.safetensors"]


def test_nothing_is_left_to_do(everything: Study) -> None:
    assert everything.planned(*TARGETS) == {}


def test_agreement_is_measured_under_every_row(everything: Study) -> None:
    columns = ["self_kendall", "self_consistency", "self_accuracy", "told_apart"]
    first = []
    for method in ROWS:
        for t in (1, 2, 3):
            agreement = read_table(everything.folder / RUN / method / f"iter{t}/agreement.parquet", AGREEMENT)
            assert agreement["self_consistency"].notna().any()
            known = agreement["reward_accuracy"].dropna()
            assert known.between(0, 1).all() and (method != "oracle" or (known == 1).all())
            if t == 1:
                first.append(agreement[columns].fillna(-1).to_numpy())
    # All rows rank the same samples of M1: what doesn't depend on the row is the same for all.
    assert all((found == first[0]).all() for found in first)


def test_constant_one_is_exactly_srlm(everything: Study) -> None:
    for t in (2, 3, 4):
        plain, constant = (
            folder_digests(everything.folder / RUN / m / f"M{t}/model") for m in ("srlm", "constant-one")
        )
        assert plain == constant


def test_first_loss_is_known_for_every_loss(everything: Study) -> None:
    for method in ROWS:
        loss = json.loads((everything.folder / RUN / method / "M2/model.record.json").read_text())["observed"]
        weight = loss["steps"][0]["weight"]
        expected = {"signed": (2 * weight - 1) * math.log(2), "ipo": 25.0}.get(method, math.log(2))
        assert loss["first_loss"] == pytest.approx(expected, abs=1e-3), method


def test_weights_follow_the_rows(everything: Study) -> None:
    for t in (1, 2, 3):
        assert set(pairs_of(everything, "constant", t)["weight"]) == {0.75}
        assert set(pairs_of(everything, "srlm", t)["weight"]) == {1.0}
        measured = consistency_of(everything, "cream", t)
        assert measured["weight"].to_numpy() == pytest.approx((measured["kendall"].mean() + 1) / 2)
        assert pairs_of(everything, "cream-clipped", t)["weight"].min() >= 0.5
        dynamic = consistency_of(everything, "cream-dyn", t)
        assert dynamic["weight"].to_numpy() == pytest.approx(((dynamic["kendall"] + 1) / 2).to_numpy(), nan_ok=True)
        dropped = consistency_of(everything, "cream-dropped", t)
        trained = dropped[dropped["prompt_id"].isin(pairs_of(everything, "cream-dropped", t)["prompt_id"])]
        assert not (trained["kendall"] < 0).any()


def test_oracle_prefers_right_answers(everything: Study) -> None:
    for t in (1, 2, 3):
        verdicts = read_table(responses_of(everything, "oracle", t) / "verdicts.parquet", VERDICTS)
        verdict = verdicts.set_index(KEY)["verdict"]
        for _, pair in pairs_of(everything, "oracle", t).iterrows():
            assert verdict[pair["prompt_id"], pair["chosen_index"]] == 1
            assert verdict[pair["prompt_id"], pair["rejected_index"]] == 0


def test_judges_reward_is_the_mean_of_valid_votes(everything: Study) -> None:
    folder = responses_of(everything, "p-cream", 2)
    rewards = read_table(everything.folder / RUN / "p-cream/iter2/rewards.parquet", REWARDS).set_index(KEY)
    samples = read_table(folder / "samples.parquet", SAMPLES).set_index(KEY)["response_ids"].map(tuple)
    for column, judge in (("reward", 2), ("comparison", 1)):
        votes = read_table(folder / f"judgements/M{judge}.parquet", JUDGEMENTS)
        assert ((votes["failure"] == "") == votes["score"].notna()).all()
        votes["words"] = [samples[key] for key in zip(votes["prompt_id"], votes["response_index"], strict=True)]
        mean = votes.groupby(["prompt_id", "words"])["score"].mean()
        expected = [mean[prompt, samples[prompt, index]] for prompt, index in rewards.index]
        assert rewards[column].to_numpy() == pytest.approx(np.array(expected), nan_ok=True)


def test_random_rewards_are_spread_over_their_range(everything: Study) -> None:
    rewards = read_table(everything.folder / RUN / "random/iter1/rewards.parquet", REWARDS)
    assert rewards["reward"].between(0, 1).all() and rewards["reward"].nunique() > 10


# What is shared, counted in the plan


def test_plan_for_all_rows_shares_m1_its_samples_and_its_scores(tmp_path: Path, tiny_assets: Path) -> None:
    study = Study.with_code(tmp_path / "project")
    (study.folder / "results/assets").mkdir(parents=True)
    (study.folder / "results/assets/tiny").symlink_to(tiny_assets)
    study.change(change(study={"methods": ["sft", *ROWS], "iterations": 6}))
    planned = study.planned()
    rows, later = len(ROWS), 5
    assert planned["train_sft"] == 1
    assert planned["sample_responses"] == planned["verify_responses"] == 1 + rows * later
    assert planned["score_M1"] == 1
    assert [planned[f"score_M{t}"] for t in range(2, 7)] == [rows] * later
    assert planned["train_policy"] == planned["build_pairs"] == planned["compute_rewards"] == rows * 6
    # M1 and M0 judge M1's responses once for both prompted rows, later M{t} and M{t-1} each row's own.
    assert planned["judge_responses"] == 2 + 2 * 2 * later
    # One reward model scores M1's responses once for both rows that ask it.
    assert planned["reward_responses"] == 1 + 2 * later
    assert planned["copy_reward_model"] == planned["convert_model"] == 1


def test_the_score_stage_makes_what_ensembles_reach_back_for(study: Study) -> None:
    study.change(
        change(
            study={"methods": ["ensemble-uwo"], "iterations": 3},
            methods={"ensemble-uwo": {"aggregate": {"models": 3}}},
        )
    )
    assert study.planned("score")["score_M3_under_M1"] == 1


@pytest.mark.parametrize(
    ("row", "own"),
    [
        ("cream-dyn", {}),
        ("likelihood", {}),
        ("ensemble-worst", {}),
        ("oracle", {}),
        ("p-srlm", {"judge_responses": 4}),
        ("p-cream", {"judge_responses": 4}),
        ("external-rm", {"copy_reward_model": 1, "reward_responses": 2}),
    ],
)
def test_a_row_added_to_a_finished_study_runs_only_its_own_jobs(study: Study, row: str, own: dict[str, int]) -> None:
    study.change(change(study={"methods": ["sft", "srlm", "cream", row]}))
    assert study.planned() == {
        "compute_rewards": 2,
        "measure_consistency": 2,
        "measure_agreement": 2,
        "build_pairs": 2,
        "train_policy": 2,
        "sample_responses": 1,
        "verify_responses": 1,
        "score_M2": 1,
        "evaluate_model": 2,
        "compare_models": 1,
        "measure_drift": 1,
        "measure_reward_quality": 1,
        "make_tables": 1,
        "draw_charts": 1,
        "make_report": 1,
        "audit_page": 1,
        "write_summary": 1,
        **own,
    }


def test_six_iterations(study: Study) -> None:
    """Iterations beyond the paper's: a longer study goes on from a shorter one."""
    study.change(change(study={"iterations": 6}))
    planned = study.planned()
    assert planned["train_policy"] == 2 * 4 and "train_sft" not in planned and "score_M2" not in planned
    study.run()
    table = pd.read_csv(study.folder / "results/tables/iterations.csv")
    assert sorted(table["iteration"]) == sorted(2 * list(range(1, 7)))
    assert table["weight"].between(0, 1).all() and (table["used"] <= table["prompts"]).all()
    one = table.set_index(["method", "iteration"])
    for method in ("srlm", "cream"):
        assert (study.folder / RUN / method / "M7/eval/colours.json").exists()
        assert one.loc[(method, 2), "self_tau"] == pytest.approx(one.loc[(method, 2), "tau"])
        assert one.loc[(method, 1), "colours_after"] == one.loc[(method, 2), "colours_before"]
    accuracy = pd.read_csv(study.folder / "results/tables/accuracy.csv")
    assert accuracy["iteration"].max() == 7


def test_an_iteration_without_a_pair_stops_its_method_alone(study: Study) -> None:
    """A judge cut off before it can say a score: all votes fail, srlm and cream are untouched."""
    study.change(
        change(
            study={"methods": ["sft", "p-srlm", "srlm", "cream", "likelihood"], "iterations": 1},
            judge={"max_new_tokens": 1},
        )
    )
    done = study.snakemake("--keep-going")
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert said == [
        f"error: {RUN}/p-srlm/iter1/pairs.parquet: no prompt gives a pair (16 × fewer than two responses to choose "
        "from), so there is nothing to train on. This method stops here and keeps what it made; the others go on "
        "with --keep-going"
    ]
    assert (responses_of(study, "p-srlm", 1) / "judgements/M1.parquet").exists()
    assert (study.folder / RUN / "p-srlm/iter1/consistency.parquet").exists()
    assert not (study.folder / RUN / "p-srlm/iter1/pairs.parquet").exists()
    assert (study.folder / RUN / "likelihood/M2/eval/colours.json").exists()


def test_two_processes_train_what_one_trains(study: Study) -> None:
    """`compute.processes` starts as many as it says, and the step stays the same step."""
    record = study.folder / RUN / "srlm/M2/model.record.json"
    one = json.loads(record.read_text())
    study.change(change(compute={"processes": {"train": 2}}))
    study.run(f"{RUN}/srlm/M2/model.json")
    two = json.loads(record.read_text())
    assert (one["processes"], two["processes"]) == (1, 2)
    for name in ("loss", "grad_norm", "rewards/margins", "weight"):
        steps = [[step[name] for step in found["observed"]["steps"]] for found in (one, two)]
        assert steps[0] == pytest.approx(steps[1], rel=1e-3, abs=1e-5), name
