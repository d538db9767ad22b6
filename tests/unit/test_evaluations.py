"""Only whole evaluations are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cream.errors import UserError
from cream.evaluations import read_evaluation

GOOD = {"task": "siqa", "n": 1, "metrics": {"acc": 1.0}, "items": [{"item_id": "a", "acc": 1}]}


def test_an_evaluation_is_read(tmp_path: Path) -> None:
    path = tmp_path / "siqa.json"
    path.write_text(json.dumps(GOOD))
    assert read_evaluation(path) == GOOD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(GOOD)[:-3], "can't be read as an evaluation"),
        ("[1]", "can't be read as an evaluation"),
        (json.dumps({"version": 1, "stage": "evaluate_model"}), "without their records"),
        (json.dumps(GOOD | {"n": 2}), "is not an evaluation"),
        (json.dumps(GOOD | {"n": 0, "items": []}), "is not an evaluation"),
    ],
)
def test_anything_else_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "siqa.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as refused:
        read_evaluation(path)
    assert str(path) in str(refused.value)
