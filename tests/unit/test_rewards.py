"""Rewards from every source, against sums written out here response by response."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cream.errors import UserError
from cream.method_table import method_table
from cream.rewards import (
    KEY,
    RawTables,
    compute_comparison,
    compute_reward,
    likelihood,
    log_ratio,
    random_rewards,
    raw_tables,
)

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas/config.schema.json").read_text(encoding="utf-8"))
SOURCES = ("implicit", "likelihood", "judge", "reward_model", "verifier", "random")

Key = tuple[str, int]


def method(**settings) -> dict:
    """A row of the method table: these settings, and the schema's defaults for the rest."""
    return method_table({"methods": {"row": {"reward_model": "rm", **settings}}}, SCHEMA)["row"]


@dataclass
class Given:
    """What is known of two prompts' responses, as plain dictionaries and as the tables of the stages.

    Response 2 of every prompt has the very tokens of response 0.
    """

    ids: dict[Key, list[int]]
    sums: dict[int, dict[Key, float]]
    votes: dict[int, dict[Key, list[float]]]
    scores: dict[Key, float]
    verdicts: dict[Key, float]
    shuffled: int | None = None
    changes: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = field(default_factory=dict)

    def table(self, name: str, rows: list[dict]) -> pd.DataFrame:
        frame = pd.DataFrame(rows)
        if self.shuffled is not None:
            frame = frame.sample(frac=1, random_state=self.shuffled + len(name))
        return self.changes.get(name, lambda same: same)(frame)

    def raw(self) -> RawTables:
        def rows(values: dict[Key, object], name: str) -> list[dict]:
            return [{"prompt_id": p, "response_index": i, name: value} for (p, i), value in values.items()]

        return raw_tables(
            self.table("samples", rows(self.ids, "response_ids")),
            {
                k: self.table(
                    f"M{k}",
                    [row | {"tokens": len(self.ids[tuple(row.values())[:2]])} for row in rows(sums, "logprob_sum")],
                )
                for k, sums in self.sums.items()
            },
            {
                k: self.table(
                    f"judge {k}",
                    [
                        {"prompt_id": p, "response_index": i, "vote": number, "score": score}
                        for (p, i), scores in votes.items()
                        for number, score in enumerate(scores)
                    ],
                )
                for k, votes in self.votes.items()
            },
            self.table("external", rows(self.scores, "score")),
            self.table("verdicts", rows(self.verdicts, "verdict")),
        )


def given_tables(seed: int = 0, shuffled: int | None = None) -> Given:
    generator = np.random.default_rng(seed)
    ids = {}
    for prompt in ("p", "q"):
        for index in range(5):
            new = [*generator.integers(0, 9, size=generator.integers(1, 6)).tolist(), 100 * index]
            ids[prompt, index] = ids[prompt, 0] if index == 2 else new

    def numbers(draw: Callable[[], float]) -> dict[Key, float]:
        values = {}
        for prompt, index in ids:
            values[prompt, index] = values[prompt, 0] if index == 2 else draw()
        return values

    return Given(
        ids,
        {k: numbers(lambda: -float(generator.uniform(1, 60))) for k in range(4)},
        {k: {key: generator.integers(0, 6, size=3).astype(float).tolist() for key in ids} for k in range(4)},
        numbers(lambda: float(generator.normal())),
        numbers(lambda: float(generator.integers(0, 2))),
        shuffled,
    )


def by_key(rewards: pd.Series) -> dict[Key, float]:
    assert list(rewards.index.names) == KEY
    return rewards.to_dict()


# Sources of rewards


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("shuffled", [None, 1])
def test_implicit_rewards_are_log_ratios_to_m0(t: int, shuffled: int | None) -> None:
    tables = given_tables(t, shuffled)
    found = by_key(compute_reward(tables.raw(), method(), t, 1))
    assert found == {key: tables.sums[t][key] - tables.sums[0][key] for key in tables.ids}


@pytest.mark.parametrize("t", [1, 2, 3])
def test_with_score_ref_previous_they_are_log_ratios_to_the_model_before(t: int) -> None:
    tables = given_tables(t)
    found = by_key(compute_reward(tables.raw(), method(score_ref="previous"), t, 1))
    assert found == {key: tables.sums[t][key] - tables.sums[t - 1][key] for key in tables.ids}


@pytest.mark.parametrize("t", [1, 2, 3])
def test_likelihood_rewards_are_per_token(t: int) -> None:
    tables = given_tables(t, shuffled=3)
    found = by_key(compute_reward(tables.raw(), method(reward="likelihood"), t, 1))
    assert found == {key: tables.sums[t][key] / len(ids) for key, ids in tables.ids.items()}


def test_external_scores_and_verdicts_are_taken_as_they_are() -> None:
    tables = given_tables(shuffled=2)
    tables.scores["q", 1] = tables.verdicts["p", 3] = math.nan
    for source, values in (("reward_model", tables.scores), ("verifier", tables.verdicts)):
        found = by_key(compute_reward(tables.raw(), method(reward=source), 2, 1))
        assert found == pytest.approx(values, nan_ok=True, abs=0)


def mean_of_valid(votes: dict[Key, list[float]], ids: dict[Key, list[int]]) -> dict[Key, float]:
    """Mean over the votes that are numbers, on the response and on its equals."""
    means = {}
    for key in votes:
        equals = [other for other in ids if other[0] == key[0] and ids[other] == ids[key]]
        valid = [vote for other in equals for vote in votes[other] if not math.isnan(vote)]
        means[key] = sum(valid) / len(valid) if valid else math.nan
    return means


def test_judges_give_the_mean_of_their_valid_votes_with_equal_responses_pooled() -> None:
    tables = given_tables(4)
    tables.votes[2] |= {
        ("p", 0): [1.0, 2.0, math.nan],
        ("p", 1): [math.nan, 4.0, math.nan],  # one vote left: 4, not 4/3
        ("p", 2): [5.0, math.nan, math.nan],  # the same response as p/0: (1 + 2 + 5) / 3 together
        ("p", 3): [math.nan, math.nan, math.nan],  # a judge that never answers: missing, not 0
        ("p", 4): [0.0, 0.0, 0.0],
        ("q", 0): [math.nan, math.nan, math.nan],  # its equal q/2 has votes
    }
    found = by_key(compute_reward(tables.raw(), method(reward="judge"), 2, 1))
    assert found == pytest.approx(mean_of_valid(tables.votes[2], tables.ids), nan_ok=True)
    assert found["p", 0] == found["p", 2] == pytest.approx(8 / 3)
    assert found["p", 1] == 4
    assert math.isnan(found["p", 3])
    assert found["p", 4] == 0
    assert found["q", 0] == found["q", 2] == pytest.approx(sum(tables.votes[2]["q", 2]) / 3)


@settings(max_examples=15)
@given(
    votes=st.lists(
        st.lists(st.integers(0, 10).map(lambda half: half / 2) | st.just(math.nan), min_size=3, max_size=3),
        min_size=10,
        max_size=10,
    ),
    order=st.integers(0, 99),
)
def test_votes_in_any_order_of_rows_give_the_same_mean(votes: list[list[float]], order: int) -> None:
    tables = given_tables(shuffled=order)
    tables.votes[1] = dict(zip(tables.ids, votes, strict=True))
    found = by_key(compute_reward(tables.raw(), method(reward="judge"), 1, 1))
    assert found == pytest.approx(mean_of_valid(tables.votes[1], tables.ids), nan_ok=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([2.7, 1.5, 0.2, 4.0, 1.7], [1.7, 1.5, 2.7, 4.0, 0.2]),
        ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
        ([3.3, 4.1, 4.6], [4.6, 3.3, 4.1]),
        ([1.1, 2.2, 3.3, 4.4], [4.4, 1.1, 3.3, 2.2]),
    ],
)
def test_the_same_votes_in_another_order_are_a_tie(first: list[float], second: list[float]) -> None:
    # Judges may say "Score: 2.7". Rounding of the sum must not rank one response above the other.
    tables = given_tables()
    tables.votes[1] |= {("p", 1): first, ("p", 3): second}
    found = by_key(compute_reward(tables.raw(), method(reward="judge"), 1, 1))
    assert found["p", 1] == found["p", 3]


# Random rewards


def test_random_rewards_are_uniform_and_independent() -> None:
    index = pd.MultiIndex.from_product([[f"p{n}" for n in range(1000)], range(4)], names=KEY)
    found = random_rewards(pd.Series(index.get_level_values(1), index=index), seed=3, t=2)
    assert found.between(0, 1, inclusive="left").all()
    assert found.is_unique
    counts, _ = np.histogram(found, bins=10, range=(0, 1))
    # Chi-square with 9 degrees of freedom is above 27.9 once in a thousand.
    assert ((counts - 400) ** 2 / 400).sum() < 27.9
    by_response = found.unstack().corr().to_numpy()
    assert np.abs(by_response[~np.eye(4, dtype=bool)]).max() < 4 / math.sqrt(1000)
    # Every response is best equally often: chi-square with 3 degrees of freedom.
    best = found.unstack().idxmax(axis=1).value_counts()
    assert ((best - 250) ** 2 / 250).sum() < 16.3


def test_random_rewards_follow_seed_and_iteration_and_nothing_else() -> None:
    straight, shuffled = given_tables(), given_tables(shuffled=5)
    first = by_key(compute_reward(straight.raw(), method(reward="random"), 2, 1))
    assert by_key(compute_reward(shuffled.raw(), method(reward="random"), 2, 1)) == first
    # Another prompt in the table moves no number; another seed or iteration moves every one.
    for name in ("ids", "scores", "verdicts"):
        setattr(shuffled, name, {key: value for key, value in getattr(shuffled, name).items() if key[0] == "q"})
    shuffled.sums = shuffled.votes = {}
    alone = by_key(compute_reward(shuffled.raw(), method(reward="random"), 2, 1))
    assert alone == {key: value for key, value in first.items() if key[0] == "q"}
    for t, seed in ((1, 1), (2, 2)):
        other = by_key(compute_reward(straight.raw(), method(reward="random"), t, seed))
        assert all(other[key] != first[key] for key in first)


def test_equal_responses_tie_at_random_and_others_do_not() -> None:
    found = by_key(compute_reward(given_tables().raw(), method(reward="random"), 1, 1))
    for prompt in ("p", "q"):
        assert found[prompt, 0] == found[prompt, 2]
        assert len({found[prompt, index] for index in range(5)}) == 4
    # Equal words under another prompt are another response.
    assert found["p", 0] != found["q", 0]


# Ensembles


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("how", ["mean", "worst", "uwo"])
@pytest.mark.parametrize("source", ["implicit", "likelihood", "judge"])
def test_ensembles_of_models_combine_each_models_own_reward(source: str, how: str, t: int) -> None:
    tables = given_tables(t, shuffled=t)
    row = method(reward=source, score_ref="previous", aggregate={"how": how, "models": 2, "penalty": 0.7})
    members = [t, t - 1] if t > 1 else [1]
    own = {
        "implicit": lambda k: {key: tables.sums[k][key] - tables.sums[k - 1][key] for key in tables.ids},
        "likelihood": lambda k: {key: tables.sums[k][key] / len(ids) for key, ids in tables.ids.items()},
        "judge": lambda k: mean_of_valid(tables.votes[k], tables.ids),
    }[source]
    opinions = [own(k) for k in members]
    expected = {}
    for key in tables.ids:
        values = np.array([opinion[key] for opinion in opinions])
        expected[key] = {
            "mean": values.mean(),
            "worst": values.min(),
            "uwo": values.mean() - 0.7 * values.var(),
        }[how]
    assert by_key(compute_reward(tables.raw(), row, t, 1)) == pytest.approx(expected)


@pytest.mark.parametrize("how", ["single", "mean", "worst", "uwo"])
@pytest.mark.parametrize("source", ["implicit", "likelihood", "judge"])
def test_an_ensemble_of_one_is_the_single_reward_to_the_last_bit(source: str, how: str) -> None:
    # At t = 1 every ensemble of models has M1 alone.
    raw = given_tables().raw()
    single = compute_reward(raw, method(reward=source), 1, 1)
    ensemble = compute_reward(raw, method(reward=source, aggregate={"how": how, "models": 3}), 1, 1)
    pd.testing.assert_series_equal(ensemble, single, check_exact=True, check_names=False)


def test_a_judge_and_a_reward_model_join_the_ensemble_standardised() -> None:
    tables = given_tables(6, shuffled=1)
    tables.votes[2]["p", 1] = [math.nan] * 3
    for key in tables.scores:
        tables.scores[key] = 7.5 if key[0] == "q" else tables.scores[key]  # says nothing about q
    row = method(aggregate={"how": "mean", "models": 2, "also": ["judge", "reward_model"], "standardise": True})
    opinions = [
        {key: tables.sums[2][key] - tables.sums[0][key] for key in tables.ids},
        {key: tables.sums[1][key] - tables.sums[0][key] for key in tables.ids},
        mean_of_valid(tables.votes[2], tables.ids),
        tables.scores,
    ]
    expected = {}
    for prompt in ("p", "q"):
        keys = [(prompt, index) for index in range(5)]
        columns = []
        for opinion in opinions:
            values = np.array([opinion[key] for key in keys])
            spread = np.nanstd(values)
            columns.append((values - np.nanmean(values)) / (spread or 1.0))
        expected |= dict(zip(keys, np.mean(columns, axis=0).tolist(), strict=True))
    found = by_key(compute_reward(tables.raw(), row, 2, 1))
    assert found == pytest.approx(expected, nan_ok=True)
    # One member without an opinion leaves the response without a reward, and only it.
    assert [key for key, value in found.items() if math.isnan(value)] == [("p", 1)]


# What the ranking is compared with


@pytest.mark.parametrize("against", ["previous", "base"])
@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("source", ["implicit", "likelihood", "reward_model", "verifier", "random"])
def test_comparisons_with_a_model(source: str, t: int, against: str) -> None:
    tables = given_tables(t, shuffled=t)
    raw, k = tables.raw(), t - 1 if against == "previous" else 0
    for score_ref, previous_score in product(("base", "previous"), ("log_ratio", "likelihood")):
        if k == 0 or source == "likelihood" or previous_score == "likelihood":
            expected = {key: tables.sums[k][key] / len(ids) for key, ids in tables.ids.items()}
        else:
            reference = tables.sums[0 if score_ref == "base" else k - 1]
            expected = {key: tables.sums[k][key] - reference[key] for key in tables.ids}
        row = method(
            reward=source, score_ref=score_ref, consistency={"against": against, "previous_score": previous_score}
        )
        assert by_key(compute_comparison(raw, row, t)) == expected, (score_ref, previous_score)


@pytest.mark.parametrize("source", SOURCES)
def test_comparisons_with_the_verifier_and_the_reward_model(source: str) -> None:
    tables = given_tables(shuffled=1)
    for against, expected in (("verifier", tables.verdicts), ("reward_model", tables.scores)):
        row = method(reward=source, consistency={"against": against})
        assert by_key(compute_comparison(tables.raw(), row, 2)) == expected


@pytest.mark.parametrize("previous_score", ["log_ratio", "likelihood"])
@pytest.mark.parametrize(("t", "against", "judge"), [(1, "previous", 0), (3, "previous", 2), (3, "base", 0)])
def test_judges_are_compared_with_the_other_model_as_judge(t: int, against: str, judge: int, previous_score) -> None:
    tables = given_tables(t)
    row = method(reward="judge", consistency={"against": against, "previous_score": previous_score})
    assert by_key(compute_comparison(tables.raw(), row, t)) == pytest.approx(
        mean_of_valid(tables.votes[judge], tables.ids)
    )


def test_the_first_round_compares_with_m0_by_likelihood_per_token() -> None:
    # M0's log-ratio to itself is zero everywhere and would rank nothing (pitfall 7).
    raw = raw_tables(
        pd.DataFrame({"prompt_id": "p", "response_index": [0, 1], "response_ids": [[1, 2], [3, 4, 5, 6]]}),
        dict.fromkeys(
            (0, 1),
            pd.DataFrame({"prompt_id": "p", "response_index": [0, 1], "logprob_sum": [-6.0, -8.0], "tokens": [2, 4]}),
        ),
    )
    assert compute_comparison(raw, method(), 1).tolist() == [-3, -2]
    assert compute_reward(raw, method(), 1, 1).tolist() == [0, 0]


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(*[st.floats(-1e4, 0, allow_nan=False)] * 2, st.integers(1, 500)), min_size=1, max_size=8)
)
def test_formulas_hold_for_any_scores(rows: list[tuple[float, float, int]]) -> None:
    keys = pd.DataFrame({"prompt_id": "p", "response_index": range(len(rows))})
    samples = keys.assign(response_ids=[[7] * tokens for *_, tokens in rows])
    scored = {
        k: keys.assign(logprob_sum=[row[k] for row in rows], tokens=[tokens for *_, tokens in rows]) for k in (0, 1)
    }
    raw = raw_tables(samples, scored)
    assert log_ratio(raw, 1, 0).tolist() == [now - base for base, now, _ in rows]
    assert likelihood(raw, 1).tolist() == [now / tokens for _, now, tokens in rows]


# Tables that don't belong together


def without(prompt: str, index: int | None) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        hit = (frame["prompt_id"] == prompt) & ((frame["response_index"] == index) | (index is None))
        assert hit.any()
        return frame[~hit]

    return change


def with_one_more(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:1].assign(prompt_id="extra prompt", response_index=7)])


TABLES = ["M0", "M1", "M2", "judge 1", "external", "verdicts"]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without("q", 1), ["response 1 ", "'q'", "not in"]),
        (without("p", None), ["response 0 ", "'p'", "not in"]),
        (with_one_more, ["response 7 ", "'extra prompt'", "only in"]),
    ],
    ids=["a response lost", "a prompt lost", "one too many"],
)
@pytest.mark.parametrize("shuffled", [None, 3])
def test_a_table_of_other_responses_is_refused_and_the_response_named(name, change, named, shuffled) -> None:
    tables = given_tables(shuffled=shuffled)
    tables.changes[name] = change
    with pytest.raises(UserError) as mistake:
        tables.raw()
    assert all(word in str(mistake.value) for word in named), mistake.value
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("change", [without("q", 1), without("p", None)])
def test_samples_that_lack_what_the_others_have_are_refused(change) -> None:
    tables = given_tables()
    tables.changes["samples"] = change
    with pytest.raises(UserError, match="only in"):
        tables.raw()


@pytest.mark.parametrize("k", [0, 1, 3])
def test_scores_of_a_response_of_another_length_are_refused(k: int) -> None:
    tables = given_tables(shuffled=k)

    def longer(frame: pd.DataFrame) -> pd.DataFrame:
        hit = (frame["prompt_id"] == "q") & (frame["response_index"] == 3)
        return frame.assign(tokens=frame["tokens"] + hit)

    tables.changes[f"M{k}"] = longer
    with pytest.raises(UserError) as mistake:
        tables.raw()
    assert all(word in str(mistake.value) for word in ["response 3 ", "'q'", f"M{k}", "length"])
    assert "\n" not in str(mistake.value)


def test_inputs_are_left_as_they_are() -> None:
    kept: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    tables = given_tables(shuffled=1)

    def keep(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        return lambda frame: kept.setdefault(name, (frame, frame.copy()))[0]

    tables.changes = {name: keep(name) for name in [*TABLES, "samples"]}
    raw = tables.raw()
    row = method(aggregate={"how": "uwo", "models": 2, "also": ["judge"], "standardise": True})
    before = [compute_reward(raw, row, 2, 1), compute_comparison(raw, row, 2)]
    after = [compute_reward(raw, row, 2, 1), compute_comparison(raw, row, 2)]
    for first, second in zip(before, after, strict=True):
        pd.testing.assert_series_equal(first, second)
    for frame, copy in kept.values():
        pd.testing.assert_frame_equal(frame, copy)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=5)
@given(seed=st.integers(0, 1000), order=st.integers(0, 1000))
def test_rows_in_any_order_give_each_response_its_own_reward(source: str, seed: int, order: int) -> None:
    row = method(reward=source, consistency={"against": "base"})
    straight, shuffled = given_tables(seed).raw(), given_tables(seed, order).raw()
    assert by_key(compute_reward(shuffled, row, 2, 1)) == by_key(compute_reward(straight, row, 2, 1))
    assert by_key(compute_comparison(shuffled, row, 2)) == by_key(compute_comparison(straight, row, 2))
