"""The path grammar: a path says whose artifact it is."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.paths import Owner, owner, policy

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("m", 1, "cream", 0), "results/m/base/M0"),
        (("m", None, None, 0), "results/m/base/M0"),
        (("m", 1, "cream", 1), "results/m/seed1/sft/M1"),
        (("m", "2", None, 1), "results/m/seed2/sft/M1"),
        (("m", 1, "cream", 2), "results/m/seed1/cream/M2"),
        (("m", 12, "srlm", 11), "results/m/seed12/srlm/M11"),
    ],
)
def test_where_a_policy_lies(arguments: tuple, path: str) -> None:
    assert policy(*arguments) == path


def test_methods_and_seeds_share_only_what_they_may() -> None:
    assert policy("m", 1, "cream", 0) == policy("m", 2, "srlm", 0)
    assert policy("m", 1, "cream", 1) == policy("m", 1, "srlm", 1)
    different = {policy(m, s, method, t) for m in "ab" for s in (1, 2) for method in ("x", "y") for t in (2, 3)}
    assert len(different) == 16


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/m/base/M0", Owner("m", None, "base", 0)),
        ("results/m/base/M0/eval/siqa.json", Owner("m", None, "base", 0)),
        ("results/m/seed3/sft/M1/model/config.json", Owner("m", 3, "sft", 1)),
        ("results/m/seed3/cream/M2/logprobs/M0.parquet", Owner("m", 3, "cream", 2)),
        ("results/m/seed3/cream/iter2/consistency.parquet", Owner("m", 3, "cream", 2)),
        ("m/seed3/cream/M10", Owner("m", 3, "cream", 10)),
        ("/home/me/a study/results/smollm2-135m/seed0/cream-dyn/M4", Owner("smollm2-135m", 0, "cream-dyn", 4)),
        # Folders above the study may look like artifacts themselves.
        ("/old/m/seed9/srlm/M7/results/n/seed1/cream/M2/eval/x.json", Owner("n", 1, "cream", 2)),
        (PurePosixPath("results/m/seed3/cream/M2/eval/legs.json"), Owner("m", 3, "cream", 2)),
    ],
)
def test_whose_artifact_a_path_is(path, expected: Owner) -> None:
    assert owner(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "results",
        "results/m/base/M1",
        "results/m/seed1/cream",
        "results/m/seedx/cream/M2",
        "results/m/seed1/cream/Mx",
        "results/data/pool/siqa.parquet",
        "results/m/seed1/cream/M2x/model",
        "results/m/cream/M2",
    ],
)
def test_other_paths_are_refused_by_name(path: str) -> None:
    with pytest.raises(ValueError, match="path grammar"):
        owner(path)


@settings(max_examples=100)
@given(
    model=NAMES,
    seed=st.integers(0, 99),
    method=NAMES,
    t=st.integers(0, 12),
    below=st.sampled_from(["", "/model", "/eval/x.json"]),
)
def test_reading_a_path_undoes_making_it(model: str, seed: int, method: str, t: int, below: str) -> None:
    found = owner(policy(model, seed, method, t) + below)
    assert (found.model, found.iteration) == (model, t)
    assert found.seed == (None if t == 0 else seed)
    assert found.method == {0: "base", 1: "sft"}.get(t, method)
