"""The whole tiny study: what it makes, and that it makes it again."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from projects import Study
from scipy import stats

from cream.digests import file_digest, folder_digests
from cream.tables import LOGPROBS, PAIRS, REWARDS, SAMPLES, read_table

RUN = "results/tiny/seed1"


def test_tables_say_everything_once(finished: Study) -> None:
    accuracy = pd.read_csv(finished.folder / "results/tables/accuracy.csv")
    assert set(zip(accuracy["method"], accuracy["iteration"], strict=True)) == {
        ("base", 0),
        ("sft", 1),
        *((method, t) for method in ("srlm", "cream") for t in (2, 3)),
    }
    assert set(accuracy["metric"]) == {"acc", "acc_norm"}
    assert ((accuracy["low"] <= accuracy["mean"]) & (accuracy["mean"] <= accuracy["high"])).all()
    consistency = pd.read_csv(finished.folder / "results/tables/consistency.csv")
    assert len(consistency) == 2 * 2 * 11
    assert (consistency["used"] + consistency["left_out"] == consistency["prompts"]).all()


def test_accuracy_is_the_mean_of_the_items(finished: Study) -> None:
    accuracy = pd.read_csv(finished.folder / "results/tables/accuracy.csv")
    row = accuracy[(accuracy["method"] == "cream") & (accuracy["iteration"] == 3) & (accuracy["metric"] == "acc")]
    result = json.loads((finished.folder / RUN / "cream/M3/eval/colours.json").read_text())
    right = [max(range(3), key=item["logprobs"].__getitem__) == item["right"] for item in result["items"]]
    assert row["mean"].item() == pytest.approx(np.mean(right), abs=1e-6)


def test_comparisons_are_differences_of_the_same_items(finished: Study) -> None:
    table = pd.read_csv(finished.folder / "results/tables/comparisons.csv")
    table = table[table["metric"] == "acc"].set_index(["method", "iteration", "against"])
    assert set(table.index) == {
        *((method, t, "M1") for method in ("srlm", "cream") for t in (2, 3)),
        *(("cream", t, "srlm") for t in (2, 3)),
    }
    accuracy = pd.read_csv(finished.folder / "results/tables/accuracy.csv")
    mean = accuracy[accuracy["metric"] == "acc"].set_index(["method", "iteration"])["mean"]
    for (method, t, against), row in table.iterrows():
        theirs = mean["sft", 1] if against == "M1" else mean[against, t]
        assert row["difference"] == pytest.approx(mean[method, t] - theirs, abs=1e-5)
        assert row["low"] <= row["difference"] <= row["high"] and row["p"] <= row["p_holm"]
    summary = (finished.folder / "results/tables/summary.txt").read_text()
    silent = int((table["verdict"] == "no difference shown").sum())
    other = "other " if silent < len(table) else ""
    assert f"no difference shown: {silent} {other}comparison{'s' * (silent != 1)} of accuracy" in summary


def test_drift_is_read_off_samples_scores_and_pairs(finished: Study) -> None:
    table = pd.read_csv(finished.folder / "results/tables/drift.csv").set_index(["method", "iteration"])
    assert set(table.index) == {(method, t) for method in ("srlm", "cream") for t in (1, 2)}
    assert table.loc[("srlm", 1), "log_ratio_base"] == table.loc[("srlm", 1), "log_ratio_previous"]
    folder = finished.folder / RUN / "cream/M2"
    samples = read_table(folder / "samples.parquet", SAMPLES)
    now, base = (read_table(folder / f"logprobs/M{k}.parquet", LOGPROBS)["logprob_sum"] for k in (2, 0))
    row = table.loc[("cream", 2)]
    assert row["tokens"] == pytest.approx(samples["response_ids"].map(len).mean(), abs=1e-5)
    # Every prompt has as many responses: the mean over prompts is the mean over responses.
    assert row["log_ratio_base"] == pytest.approx((now - base).mean(), abs=1e-5)
    assert row["pairs"] == len(read_table(finished.folder / RUN / "cream/iter2/pairs.parquet", PAIRS))


@pytest.mark.parametrize("method", ["srlm", "cream"])
@pytest.mark.parametrize("t", [1, 2])
def test_pairs_follow_from_the_raw_numbers(finished: Study, method: str, t: int) -> None:
    """From samples and log-probs to pairs and weights, recomputed the plain way."""
    folder = finished.folder / RUN
    policy = folder / ("sft" if t == 1 else method) / f"M{t}"
    samples = read_table(policy / "samples.parquet", SAMPLES).set_index(["prompt_id", "response_index"])
    score = {
        k: read_table(policy / f"logprobs/M{k}.parquet", LOGPROBS).set_index(["prompt_id", "response_index"])
        for k in {0, t - 1, t}
    }
    pairs = read_table(folder / method / f"iter{t}/pairs.parquet", PAIRS).set_index("prompt_id")
    taus = {}
    for prompt in samples.index.unique("prompt_id"):
        base, now, then = (score[k].loc[prompt] for k in (0, t, t - 1))
        reward = now["logprob_sum"] - base["logprob_sum"]
        earlier = base["logprob_sum"] / base["tokens"] if t == 1 else then["logprob_sum"] - base["logprob_sum"]
        if reward.nunique() > 1 and earlier.nunique() > 1:
            taus[prompt] = stats.kendalltau(reward, earlier).statistic
        if reward.nunique() > 1:
            best, worst = reward.idxmax(), reward.idxmin()
            pair = pairs.loc[prompt]
            assert (pair["chosen_index"], pair["rejected_index"]) == (best, worst)
            assert pair["chosen_ids"] == samples.loc[(prompt, best), "response_ids"]
            assert pair["ref_rejected_logps"] == now["logprob_sum"][worst]
        else:
            assert prompt not in pairs.index
    weight = 1.0 if method == "srlm" else (np.mean(list(taus.values())) + 1) / 2
    assert pairs["weight"].to_numpy() == pytest.approx(weight)


def test_first_training_loss_is_log_two_and_training_reads_the_stored_weight(finished: Study) -> None:
    for method in ("srlm", "cream"):
        for t in (1, 2):
            record = json.loads((finished.folder / RUN / method / f"M{t + 1}/model.record.json").read_text())
            pairs = read_table(finished.folder / RUN / method / f"iter{t}/pairs.parquet", PAIRS)
            assert record["observed"]["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
            weights = [step["weight"] for step in record["observed"]["steps"]]
            assert np.mean(weights) == pytest.approx(pairs["weight"].mean(), abs=1e-4)


def test_splits_are_disjoint_and_reported(finished: Study) -> None:
    report = pd.read_csv(finished.folder / "results/tables/splits/tiny.csv")
    assert report["items"].sum() == 2 * 24 + 32 + 2 * 2 * 8 + 24
    prompts = [
        prompt
        for path in sorted((finished.folder / "results/tiny/data").rglob("*.parquet"))
        for prompt in pd.read_parquet(path)["prompt"]
    ]
    assert len(prompts) == len(set(prompts)) == report["items"].sum()


def test_a_record_names_inputs_outputs_and_settings(finished: Study) -> None:
    record = json.loads((finished.folder / RUN / "sft/M1/samples.parquet.record.json").read_text())
    out = f"{RUN}/sft/M1/samples.parquet"
    assert record["outputs"][out]["file"] == file_digest(finished.folder / out)
    assert record["settings"]["temperature"] == 0.8 and record["settings"]["seed"] == 1
    assert record["packages"]["torch"] and record["determinism"] == "C"


def contents(folder: Path) -> dict[str, object]:
    """Content digests of everything that is promised to repeat."""
    digests: dict[str, object] = {
        str(path.relative_to(folder)): file_digest(path)
        for kind in ("*.parquet", "eval/*.json", "tables/**/*.csv", "summary.txt", "*.svg")
        for path in folder.rglob(kind)
        if not path.name.endswith(".record.json")  # times and host differ, and may
    }
    digests |= {str(path.relative_to(folder)): folder_digests(path) for path in folder.rglob("M?/model")}
    return digests


def test_another_folder_and_hash_seed_give_the_same(finished: Study, tmp_path: Path) -> None:
    other = Study.with_code(tmp_path / "elsewhere" / "deeper")
    assert other.python("tests/tiny.py", "results/assets/tiny").returncode == 0
    other.run(PYTHONHASHSEED="12345")
    first, second = contents(finished.folder / "results"), contents(other.folder / "results")
    assert len(first) > 40
    assert first == second


def test_one_stage_by_path_by_force_and_by_script(study: Study) -> None:
    target = f"{RUN}/cream/iter1/pairs.parquet"
    before = file_digest(study.folder / target)
    (study.folder / target).unlink()
    study.run(target)
    assert file_digest(study.folder / target) == before
    study.run(target, "--forcerun", "measure_consistency")
    assert file_digest(study.folder / target) == before
    assert study.planned() == {}
    for output, flag in ((f"{RUN}/sft/M1/samples.parquet", "--samples"), (target, "--pairs")):
        command = json.loads((study.folder / f"{output}.record.json").read_text())["command"]
        command[command.index(flag) + 1] = "by_hand.parquet"
        done = study.python(*command)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"
        assert file_digest(study.folder / "by_hand.parquet") == file_digest(study.folder / output)


def test_every_stage_has_a_named_target(finished: Study) -> None:
    stages = [
        "assets",
        "data",
        "sft",
        "sample",
        "score",
        "judge",
        "consistency",
        "pairs",
        "train",
        "evaluate",
        "tables",
        "report",
    ]
    assert "Nothing to be done" in finished.run(*stages, "--dry-run")


def test_the_run_ends_with_a_page_of_the_whole_study(finished: Study) -> None:
    page = (finished.folder / "results/report/index.html").read_text(encoding="utf-8")
    assert "After 2 iterations" in page and page.count("<figure") == 11
    chunks = json.loads(re.search(r'id="chunks">(.*?)</script>', page)[1])
    assert {(chunk["method"], chunk["iteration"]) for chunk in chunks} == {
        (m, t) for m in ("srlm", "cream") for t in (1, 2)
    }
    packed = re.search(rf'id="{chunks[0]["id"]}">(.*?)</script>', page)[1]
    assert len(json.loads(gzip.decompress(base64.b64decode(packed)))) == 16
    for ending in (".svg", ".png", ".vl.json"):
        assert (finished.folder / f"results/figures/iterations{ending}").stat().st_size > 1000


def test_snakemakes_own_report_needs_no_network(study: Study) -> None:
    """Charts, tables and page with their captions. An unreachable proxy stands for no network."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    study.run("--report", "snakemake.html", **nowhere)
    page = (study.folder / "snakemake.html").read_text(encoding="utf-8")
    for name in ("results/figures/tau.svg", "results/tables/drift.csv", "results/report/index.html"):
        assert name in page
    assert "The whole study as one page" in page


def test_rewards_are_finite_and_raw_scores_are_kept(finished: Study) -> None:
    rewards = read_table(finished.folder / RUN / "cream/iter2/rewards.parquet", REWARDS)
    assert np.isfinite(rewards[["reward", "comparison"]].to_numpy(dtype=float)).all()
    assert len(rewards) == 16 * 4
