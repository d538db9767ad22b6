"""Results of an evaluation, as later stages read them."""

from __future__ import annotations

import json
from pathlib import Path

from cream.errors import UserError


def read_evaluation(path: Path) -> dict:
    """The JSON that scripts/evaluate_model.py wrote: task, n, metrics and one entry an item.

    Raises `UserError` for a file that isn't one, such as the record beside it.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        complete = {"task", "n", "metrics", "items"} <= result.keys() and len(result["items"]) == result["n"] > 0
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as problem:
        raise UserError(f"{path} can't be read as an evaluation: delete it and make it again") from problem
    if not complete:
        raise UserError(f"{path} is not an evaluation: give the files eval/TASK.json, without their records")
    return result
