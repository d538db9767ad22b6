"""References computed again before training: right ones pass, a wrong one stops the script."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from test_engine_scoring import adapted
from test_exact_steps import TRAINING
from test_exchanges import last_error, python
from training_data import pair_rows

import train_policy
from cream.engines.base import ModelFiles
from cream.errors import UserError
from cream.tables import PAIRS, write_table

PAIRS_IN_ALL = 9


@pytest.fixture(scope="module")
def m0(tiny_assets: Path) -> ModelFiles:
    return ModelFiles(tiny_assets / "model", tiny_assets / "model")


@pytest.fixture(scope="module")
def m1(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """An adapter on M0."""
    return adapted(tiny_assets, tmp_path_factory.mktemp("m1") / "model", seed=5)


def scored_under(files: ModelFiles) -> pd.DataFrame:
    """Pairs of all lengths with their references under a policy, computed in batches of their own."""
    return pd.DataFrame(pair_rows(files, PAIRS_IN_ALL, seed=6, shortest=2))


@pytest.fixture(scope="module")
def right(m0: ModelFiles) -> pd.DataFrame:
    return scored_under(m0)


def moved(pairs: pd.DataFrame, row: int, side: str, nats: float) -> pd.DataFrame:
    """The pairs with one reference so many nats off."""
    pairs = pairs.copy()
    pairs.loc[row, f"ref_{side}_logps"] += nats
    return pairs


def checked(pairs: pd.DataFrame, policy: ModelFiles, wanted: int, seed: int = 3) -> dict:
    """What the check alone observes."""
    return train_policy._recompute_references(
        pairs,
        argparse.Namespace(
            recomputed_references=wanted,
            seed=seed,
            start=policy.folder,
            base=policy.base,
            engine="transformers",
            precision="float32",
            pairs=Path("pairs.parquet"),
        ),
    )


def refused(pairs: pd.DataFrame, policy: ModelFiles, wanted: int, seed: int = 3) -> str:
    """The one sentence of a check that fails; empty where it passes."""
    try:
        checked(pairs, policy, wanted, seed)
    except UserError as mistake:
        said = str(mistake)
        assert "\n" not in said
        return said
    return ""


# The script, with a dropout under which the first loss can't be checked


def trained(folder: Path, pairs: pd.DataFrame, policy: ModelFiles, wanted: int):
    """The real script: where its model goes, and how it ended."""
    write_table(pairs, PAIRS, folder / "pairs.parquet")
    flags = {name.replace("-", "_"): value for name, value in TRAINING.items()} | {"lora_dropout": 0.1}
    flags |= {"type": "cream", "beta": 0.1, "max_epsilon": 0.45, "seed": 3, "micro_batch_size": 2, "epochs": 1}
    model = folder / "out/model"
    done = python(
        "train_policy.py",
        **flags,
        pairs=folder / "pairs.parquet",
        start=policy.folder,
        base=policy.base,
        model=model,
        recomputed_references=wanted,
    )
    return model, done


def test_right_references_pass_and_are_in_the_record(right: pd.DataFrame, m0: ModelFiles, tmp_path: Path) -> None:
    model, done = trained(tmp_path, right, m0, wanted=PAIRS_IN_ALL)
    assert done.returncode == 0, done.stderr
    assert (model / "adapter_model.safetensors").is_file()
    observed = json.loads(Path(f"{model}.record.json").read_text())["observed"]
    assert observed["references_recomputed"] == 2 * PAIRS_IN_ALL
    assert 0 <= observed["largest_gap_per_token"] < 1e-5
    assert "18 references computed again" in done.stdout
    assert observed["pairs"] == PAIRS_IN_ALL and observed["steps"]


def test_a_wrong_reference_stops_the_script_before_it_trains(
    right: pd.DataFrame, m0: ModelFiles, tmp_path: Path
) -> None:
    model, done = trained(tmp_path, moved(right, 4, "rejected", 1.0), m0, wanted=PAIRS_IN_ALL)
    said = last_error(done)
    value = right["ref_rejected_logps"][4]
    assert all(word in said for word in ("pairs.parquet", "prompt04", "rejected", f"{value:.4f}", f"{value + 1:.4f}"))
    assert not list(model.parent.iterdir())


def test_unless_asked_nothing_is_computed_again(right: pd.DataFrame, m0: ModelFiles, tmp_path: Path) -> None:
    """The script above would have trained on the wrong reference."""
    model, done = trained(tmp_path, moved(right, 4, "rejected", 1.0), m0, wanted=0)
    assert done.returncode == 0, done.stderr
    observed = json.loads(Path(f"{model}.record.json").read_text())["observed"]
    assert not {"references_recomputed", "largest_gap_per_token"} & set(observed)


# The check


@pytest.mark.parametrize(("side", "other"), [("chosen", "rejected"), ("rejected", "chosen")])
@pytest.mark.parametrize(("row", "nats"), [(0, 1.0), (4, -1.0), (PAIRS_IN_ALL - 1, math.inf)])
def test_a_wrong_reference_is_found_wherever_it_is(
    right: pd.DataFrame, m0: ModelFiles, side: str, other: str, row: int, nats: float
) -> None:
    said = refused(moved(right, row, side, nats), m0, wanted=PAIRS_IN_ALL)
    assert f"prompt{row:02}: the {side} response" in said and other not in said, said


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_gap_counts_by_token(right: pd.DataFrame, m0: ModelFiles, side: str) -> None:
    bound = train_policy.REFERENCE_TOLERANCE["float32"]
    lengths = right[f"{side}_ids"].map(len)
    assert lengths.max() > 2 * lengths.min()
    near = right.assign(**{f"ref_{side}_logps": right[f"ref_{side}_logps"] + 0.9 * bound * lengths})
    assert checked(near, m0, wanted=PAIRS_IN_ALL)["largest_gap_per_token"] == pytest.approx(0.9 * bound, rel=0.1)
    for row in (lengths.idxmin(), lengths.idxmax()):
        beyond = moved(right, row, side, -1.1 * bound * lengths[row])
        assert f"prompt{row:02}" in refused(beyond, m0, wanted=PAIRS_IN_ALL)


def test_references_of_another_policy_are_refused(right: pd.DataFrame, m0: ModelFiles, m1: ModelFiles) -> None:
    assert checked(scored_under(m1), m1, wanted=PAIRS_IN_ALL)["references_recomputed"] == 2 * PAIRS_IN_ALL
    assert str(m1.folder) in refused(right, m1, wanted=1)
    assert str(m0.folder) in refused(scored_under(m1), m0, wanted=1)


def looked_at(pairs: pd.DataFrame, policy: ModelFiles, wanted: int, seed: int) -> list[str]:
    """The pairs whose references are computed again: with all wrong each in turn is named, then put right."""
    found: list[str] = []
    while True:
        wrong = ~pairs["prompt_id"].isin(found)
        said = refused(pairs.assign(ref_chosen_logps=pairs["ref_chosen_logps"] + wrong), policy, wanted, seed)
        if not said:
            return found
        (name,) = re.findall(r"prompt\d+", said)
        assert name not in found
        found.append(name)


def test_a_sample_of_the_pairs_goes_by_the_seed_alone(right: pd.DataFrame, m0: ModelFiles) -> None:
    samples = [looked_at(right, m0, wanted=2, seed=seed) for seed in (1, 2, 3)]
    assert [len(found) for found in samples] == [2, 2, 2]
    assert len(set(map(frozenset, samples))) > 1
    assert looked_at(right[::-1], m0, wanted=2, seed=1) == samples[0]
    assert looked_at(right, m0, wanted=4, seed=1)[:2] == samples[0]  # more of them are those and others
    assert checked(right, m0, wanted=2, seed=1)["references_recomputed"] == 4


def test_more_than_there_are_is_all_of_them(right: pd.DataFrame, m0: ModelFiles) -> None:
    assert checked(right, m0, wanted=1000)["references_recomputed"] == 2 * PAIRS_IN_ALL


def test_none_wanted_loads_no_model(right: pd.DataFrame, tmp_path: Path) -> None:
    nowhere = ModelFiles(tmp_path / "nowhere", tmp_path / "nowhere")
    assert checked(right, nowhere, wanted=0) == {}
