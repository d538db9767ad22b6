"""From the rankings of each prompt to the weight of its pair, and why there may be none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rankings import TIED, counted_tau_b, rewards_table, two_lists

from cream.consistency import (
    CONSTANT,
    MEASURES,
    MISSING,
    NEGATIVE,
    Weighting,
    measure_prompts,
    scaled,
    weigh_prompts,
)

PROMPTS = {
    "same": ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]),
    "reversed": ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    "one swap": ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]),
    "tied now": ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
    "tied before": ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
    "two left": ([1.0, math.nan, 3.0, 4.0], [1.0, 2.0, math.nan, 0.0]),
    "one left": ([1.0, math.nan, 3.0], [1.0, 2.0, math.nan]),
    "none left": ([math.nan, math.nan], [1.0, 2.0]),
    "tied what is left": ([1.0, math.nan, 1.0], [1.0, 2.0, 3.0]),
    "endless": ([1.0, math.inf], [1.0, 2.0]),
    "single": ([1.0], [1.0]),
}
COUNTED = ["same", "reversed", "one swap", "two left"]


def test_prompts_that_say_nothing_are_left_out_with_their_reason() -> None:
    measured = measure_prompts(rewards_table(PROMPTS)).set_index("prompt_id")
    assert measured["left_out"].to_dict() == dict.fromkeys(COUNTED, "") | {
        "tied now": CONSTANT,
        "tied before": CONSTANT,
        "tied what is left": CONSTANT,
        "one left": MISSING,
        "none left": MISSING,
        "endless": MISSING,
        "single": MISSING,
    }
    left_out = measured["left_out"] != ""
    assert measured.loc[left_out, list(MEASURES)].isna().all(axis=None)
    assert measured.loc[~left_out, list(MEASURES)].notna().all(axis=None)
    assert measured.loc["one swap", list(MEASURES)].tolist() == pytest.approx([1 / 3, 0.5, 0])
    # Responses 0 and 3 have both scores; they are turned round.
    assert measured.loc["two left", list(MEASURES)].tolist() == pytest.approx([-1, -1, 0])


def test_compared_counts_the_responses_with_both_scores() -> None:
    compared = measure_prompts(rewards_table(PROMPTS)).set_index("prompt_id")["compared"].to_dict()
    assert compared == {
        "same": 3,
        "reversed": 3,
        "one swap": 3,
        "tied now": 3,
        "tied before": 3,
        "two left": 2,
        "one left": 1,
        "none left": 0,
        "tied what is left": 2,
        "endless": 1,
        "single": 1,
    }


@settings(max_examples=25)
@given(lists=two_lists(), data=st.data())
def test_responses_without_either_score_are_as_if_they_were_not_there(lists, data) -> None:
    whole = [[*side] for side in lists]
    for _ in range(data.draw(st.integers(1, 3))):
        at, lost = data.draw(st.integers(0, len(whole[0]))), data.draw(st.sampled_from([(0,), (1,), (0, 1)]))
        for side in (0, 1):
            whole[side].insert(at, math.nan if side in lost else data.draw(TIED))
    measured = measure_prompts(rewards_table({"p": (whole[0], whole[1])}))
    pd.testing.assert_frame_equal(measured, measure_prompts(rewards_table({"p": lists})))


def test_a_table_with_nothing_to_compare_leaves_every_prompt_out() -> None:
    # A column of nulls alone can come as Python None, not as NaN.
    table = pd.DataFrame(
        {"prompt_id": ["p", "p"], "response_index": [0, 1], "reward": [1.0, 2.0], "comparison": [None, None]}
    )
    assert measure_prompts(table)["left_out"].tolist() == [MISSING]


@settings(max_examples=25)
@given(data=st.data())
def test_shuffled_rows_give_the_same_table(data) -> None:
    prompts = {f"p{i}": data.draw(two_lists()) for i in range(data.draw(st.integers(1, 4)))}
    table = rewards_table(prompts)
    order = data.draw(st.permutations(range(len(table))))
    pd.testing.assert_frame_equal(measure_prompts(table), measure_prompts(table.iloc[order]))


@settings(max_examples=25)
@given(lists=two_lists(), data=st.data())
def test_a_response_sampled_twice_is_one_more_tie(lists, data) -> None:
    # The copy gets the same rewards: a tie on both sides, never agreement by itself.
    a, b = lists
    copied = data.draw(st.integers(0, len(a) - 1))
    measured = measure_prompts(rewards_table({"p": (a, b), "copied": ([*a, a[copied]], [*b, b[copied]])}))
    measured = measured.set_index("prompt_id")
    expected = counted_tau_b([*a, a[copied]], [*b, b[copied]])
    assert measured.loc["copied", "kendall"] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # What is best and worst doesn't change by having it twice.
    assert measured.loc["copied", "toporder"] == pytest.approx(measured.loc["p", "toporder"], nan_ok=True)
    assert measured.loc["copied", "left_out"] == measured.loc["p", "left_out"]


def weighed(measure: str, level: str, **settings) -> pd.DataFrame:
    weighting = Weighting(measure, level, **settings)
    return weigh_prompts(measure_prompts(rewards_table(PROMPTS)), weighting).set_index("prompt_id")


# What the four prompts that count have, in their order: same, reversed, one swap, two left.
CONSISTENCIES = {"kendall": [1, 0, 2 / 3, 0], "spearman": [1, 0, 0.75, 0], "toporder": [1, 0, 0, 0]}


@pytest.mark.parametrize("measure", MEASURES)
def test_each_prompt_gets_its_own_weight_at_level_prompt(measure: str) -> None:
    table = weighed(measure, "prompt")
    assert table.loc[COUNTED, "weight"].tolist() == pytest.approx(CONSISTENCIES[measure])
    assert table.loc[table["left_out"] != "", "weight"].isna().all()
    pd.testing.assert_series_equal(table["weight"], table["consistency"], check_names=False)
    pd.testing.assert_series_equal(table["unweighted"], table["left_out"], check_names=False)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_set_weight_is_the_mean_over_the_prompts_that_count(measure: str) -> None:
    table = weighed(measure, "set")
    # Four prompts count; those left out must not pull the mean, but their pairs train with it.
    assert table["weight"].tolist() == pytest.approx([np.mean(CONSISTENCIES[measure])] * len(PROMPTS))
    assert table["consistency"].notna().sum() == len(COUNTED)
    assert (table["unweighted"] == "").all()


@pytest.mark.parametrize(("measure", "value"), [("none", None), ("constant", 0.75), ("constant", 0.0)])
def test_none_and_constant_weigh_every_pair_alike_and_still_show_kendall(measure: str, value: float | None) -> None:
    table = weighed(measure, "set", value=value)
    assert (table["weight"] == (1.0 if value is None else value)).all()
    assert (table["unweighted"] == "").all()
    pd.testing.assert_series_equal(table["consistency"], weighed("kendall", "set")["consistency"])


@pytest.mark.parametrize("drop_negative", [False, True])
def test_a_constant_of_one_is_the_same_table_as_none(drop_negative: bool) -> None:
    one = weighed("constant", "set", value=1.0, drop_negative=drop_negative)
    pd.testing.assert_frame_equal(one, weighed("none", "set", drop_negative=drop_negative))


def test_clip_raises_what_is_below_it_and_nothing_else() -> None:
    table = weighed("kendall", "prompt", clip=0.5)
    assert table.loc[COUNTED, "weight"].tolist() == pytest.approx([1, 0.5, 2 / 3, 0.5])
    # The consistency is shown as it was measured, and no weight comes out of nothing.
    assert table.loc[COUNTED, "consistency"].tolist() == pytest.approx(CONSISTENCIES["kendall"])
    assert table.loc[table["left_out"] != "", "weight"].isna().all()
    # At level set it is the mean that is clipped: mean of 1, 0, 2/3, 0 is below 1/2.
    assert weighed("kendall", "set", clip=0.5)["weight"].tolist() == [0.5] * len(PROMPTS)
    assert weighed("kendall", "set", clip=0.1)["weight"].tolist() == pytest.approx([5 / 12] * len(PROMPTS))


@pytest.mark.parametrize("measure", ["none", "constant", *MEASURES])
def test_dropped_prompts_have_no_weight_and_a_reason(measure: str) -> None:
    value = 0.75 if measure == "constant" else None
    table = weighed(measure, "set", value=value, drop_negative=True)
    dropped = table["unweighted"] == NEGATIVE
    assert set(table.index[dropped]) == {"reversed", "two left"}
    assert table.loc[dropped, "weight"].isna().all()
    mean = np.mean([CONSISTENCIES[measure][at] for at in (0, 2)]) if measure in MEASURES else value or 1.0
    assert table.loc[~dropped, "weight"].tolist() == pytest.approx([mean] * (len(PROMPTS) - 2))
    assert table.loc["reversed", "consistency"] == pytest.approx(0)


def test_a_tau_of_zero_is_not_negative() -> None:
    # Of the six pairs of four responses three agree and three don't.
    measured = measure_prompts(rewards_table({"p": ([1, 2, 3, 4], [2, 4, 1, 3]), "q": ([1, 2, 3, 4], [3, 1, 4, 2])}))
    assert measured["kendall"].tolist() == [0, 0]
    table = weigh_prompts(measured, Weighting("kendall", "prompt", drop_negative=True))
    assert table["weight"].tolist() == [0.5, 0.5]


def test_no_prompt_that_counts_leaves_the_set_weight_unknown_with_the_reason() -> None:
    measured = measure_prompts(rewards_table({"p": PROMPTS["tied now"], "q": PROMPTS["one left"]}))
    table = weigh_prompts(measured, Weighting("kendall", "set", clip=0.5))
    assert table["weight"].isna().all()
    assert table["unweighted"].tolist() == [CONSTANT, MISSING]
    assert (weigh_prompts(measured, Weighting("none", "set"))["weight"] == 1).all()


def test_a_set_of_dropped_prompts_leaves_the_others_without_a_weight_too() -> None:
    measured = measure_prompts(rewards_table({"p": PROMPTS["reversed"], "q": PROMPTS["tied now"]}))
    table = weigh_prompts(measured, Weighting("kendall", "set", drop_negative=True))
    assert table["weight"].isna().all()
    assert table["unweighted"].tolist() == [NEGATIVE, CONSTANT]


@st.composite
def measured_tables(draw) -> pd.DataFrame:
    """Measures of some prompts, some of them left out, as `measure_prompts` returns them."""
    shares, rows = st.floats(-1, 1, allow_nan=False), []
    for number in range(draw(st.integers(1, 6))):
        left_out = draw(st.sampled_from(["", "", MISSING, CONSTANT]))
        values = (draw(shares), draw(shares), draw(st.sampled_from([0.0, 1.0])))
        measures = dict.fromkeys(MEASURES, math.nan) if left_out else dict(zip(MEASURES, values, strict=True))
        rows.append({"prompt_id": f"p{number}", "compared": 5, **measures, "left_out": left_out})
    return pd.DataFrame(rows)


@st.composite
def weightings(draw) -> Weighting:
    measure = draw(st.sampled_from(["none", "constant", *MEASURES]))
    unit = st.floats(0, 1, allow_nan=False)
    return Weighting(
        measure,
        draw(st.sampled_from(["set", "prompt"])),
        draw(unit) if measure == "constant" else None,
        draw(st.none() | unit) if measure in MEASURES else None,
        draw(st.booleans()),
    )


def plain_weights(rows: list[dict], how: Weighting) -> list[float]:
    """The weights by the words of the settings, one prompt after the other."""
    taken = [how.drop_negative and row["kendall"] < 0 for row in rows]
    weights = []
    for row, gone in zip(rows, taken, strict=True):
        if how.measure == "none":
            weight = 1.0
        elif how.measure == "constant":
            weight = how.value
        else:
            asked = rows if how.level == "set" else [row]
            kept = [other for other in asked if not (how.drop_negative and other["kendall"] < 0)]
            known = [scaled(how.measure, other[how.measure]) for other in kept if not other["left_out"]]
            weight = sum(known) / len(known) if known else math.nan
            weight = max(weight, how.clip) if how.clip is not None and known else weight
        weights.append(math.nan if gone else weight)
    return weights


@settings(max_examples=120)
@given(measured=measured_tables(), how=weightings())
def test_weights_follow_their_settings_and_never_go_missing_in_silence(measured: pd.DataFrame, how: Weighting) -> None:
    table = weigh_prompts(measured, how)
    assert table["weight"].tolist() == pytest.approx(plain_weights(measured.to_dict("records"), how), nan_ok=True)
    assert (table["weight"].between(0, 1) | table["weight"].isna()).all()
    assert (table["weight"].isna() == (table["unweighted"] != "")).all()
    assert set(table["unweighted"]) <= {"", MISSING, CONSTANT, NEGATIVE}


def test_weighing_leaves_the_measures_as_they_are() -> None:
    measured = measure_prompts(rewards_table(PROMPTS))
    before = measured.copy()
    table = weigh_prompts(measured, Weighting("spearman", "set", clip=0.5, drop_negative=True))
    pd.testing.assert_frame_equal(measured, before)
    pd.testing.assert_frame_equal(table[before.columns], before)
