"""From judged pairs to a win rate: counts in which no pair is lost, position bias, interval, test."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cream.comparisons import Resampling, compare
from cream.errors import UserError
from cream.win_rates.verdicts import FAILED, LOST, TIED, WON

POINTS = {WON: 1.0, TIED: 0.5, LOST: 0.0, FAILED: math.nan}


def points(judged: pd.DataFrame) -> np.ndarray:
    """What each pair counts: 1 won, ½ tied, 0 lost, NaN without a verdict."""
    return judged["outcome"].map(POINTS).to_numpy(dtype=float)


def counts(tables: list[pd.DataFrame]) -> dict[str, int]:
    """Pairs that went in, what became of them, and in how many an answer was empty, over all seeds' tables
    of judged answers.

    Raises `UserError` where they don't add up, as in a table with an unknown outcome.
    """
    together = pd.concat(tables)
    found = {name: int((together["outcome"] == name).sum()) for name in (WON, LOST, TIED, FAILED)}
    if sum(found.values()) != len(together):
        raise UserError("a table of judged answers has an outcome that is none of won, lost, tied, failed")
    empty = int((together[["ours_characters", "theirs_characters"]] == 0).any(axis=1).sum())
    return {"pairs": len(together), **found, "empty_answers": empty}


def position_bias(tables: list[pd.DataFrame]) -> dict[str, float]:
    """`first`: share of verdicts that prefer the answer in first place; `flipped`: share of pairs whose two
    orders prefer different answers. Verdicts that prefer neither don't count; NaN where none is left."""
    together = pd.concat(tables)
    # How far the first place is preferred, in either order.
    first = np.concatenate([together["ours_first"], 1 - together["ours_second"]])
    decided = first[~np.isnan(first) & (first != 0.5)]
    ours = together[["ours_first", "ours_second"]].to_numpy(dtype=float) - 0.5
    both = ours[(~np.isnan(ours) & (ours != 0)).all(axis=1)]
    return {
        "first": float((decided > 0.5).mean()) if len(decided) else math.nan,
        "flipped": float((both[:, 0] * both[:, 1] < 0).mean()) if len(both) else math.nan,
    }


def win_rate(tables: list[pd.DataFrame], how: Resampling) -> dict[str, float]:
    """Mean points with interval and p-value against one half, over pairs with a verdict in every seed.

    `tables` has one table of judged answers a seed. Intervals resample instructions, and seeds where
    there are several (`cream.comparisons`).
    """
    by_seed = [table.assign(points=points(table)).set_index("instruction_id")["points"] for table in tables]
    together = pd.concat(by_seed, axis=1)
    complete = together.dropna()
    if complete.empty:
        return {"used": 0, "win_rate": math.nan, "low": math.nan, "high": math.nan, "p": 1.0}
    ours = complete.to_numpy().T
    found = compare(ours, 1 - ours, how)
    return {
        "used": len(complete),
        "win_rate": (1 + found.difference) / 2,
        "low": (1 + found.low) / 2,
        "high": (1 + found.high) / 2,
        "p": found.p,
    }
