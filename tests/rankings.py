"""Lists of scores to rank, tables of them, and Kendall's tau counted out, for the tests of rankings."""

from __future__ import annotations

import math
from itertools import combinations

import pandas as pd
from hypothesis import strategies as st

# Few distinct values make many ties; the floats make none.
TIED = st.integers(-2, 2).map(float)
FREE = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def two_lists(draw) -> tuple[list[float], list[float]]:
    size, values = draw(st.integers(2, 8)), draw(st.sampled_from([TIED, FREE]))
    return tuple(draw(st.lists(values, min_size=size, max_size=size)) for _ in range(2))


def counted_tau_b(a: list[float], b: list[float]) -> float:
    """Kendall's tau-b from its definition: every pair of items looked at once."""
    agreeing = untied_a = untied_b = 0
    for i, j in combinations(range(len(a)), 2):
        step_a = (a[i] > a[j]) - (a[i] < a[j])
        step_b = (b[i] > b[j]) - (b[i] < b[j])
        agreeing += step_a * step_b
        untied_a += step_a != 0
        untied_b += step_b != 0
    return agreeing / math.sqrt(untied_a * untied_b) if untied_a and untied_b else math.nan


def rewards_table(prompts: dict[str, tuple[list[float], list[float]]]) -> pd.DataFrame:
    rows = [
        {"prompt_id": prompt, "response_index": index, "reward": now, "comparison": before}
        for prompt, (current, previous) in prompts.items()
        for index, (now, before) in enumerate(zip(current, previous, strict=True))
    ]
    return pd.DataFrame(rows)
