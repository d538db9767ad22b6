"""Rewards of sampled responses, and the scores that their ranking is compared with.

Every source of reward is one small function from raw tables to one number a response. All
tables are joined by key (prompt_id, response_index), never by position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cream.aggregates import aggregate, standardised
from cream.errors import UserError
from cream.methods import MODEL_FREE, compared_model, members, scoring_reference
from cream.seeds import request_seed

KEY = ["prompt_id", "response_index"]


@dataclass(frozen=True)
class RawTables:
    """What is known of an iteration's responses, each table indexed by KEY.

    first_equal: the index of the first response to the same prompt with the same token ids, its
    own where there is none: what is drawn at random is drawn once for equal responses, so that
    they tie. logprobs: by number of the scoring model, columns logprob_sum (nats) and tokens.
    judgements: by number of the judging model, the mean of its valid votes, NaN without one.
    external: the reward model's score, NaN where it has none. verdicts: 1 right, 0 wrong, NaN
    unknown. All cover exactly the same responses; `raw_tables` makes sure of it.
    """

    first_equal: pd.Series
    logprobs: dict[int, pd.DataFrame]
    judgements: dict[int, pd.Series]
    external: pd.Series | None
    verdicts: pd.Series | None

    @property
    def responses(self) -> pd.MultiIndex:
        return self.first_equal.index


def raw_tables(
    samples: pd.DataFrame,
    logprobs: dict[int, pd.DataFrame],
    judgements: dict[int, pd.DataFrame] | None = None,
    external: pd.DataFrame | None = None,
    verdicts: pd.DataFrame | None = None,
) -> RawTables:
    """Index and check the tables of one iteration.

    Raises `UserError` when a table lacks a response, has one too many, or counts another number
    of tokens: numbers of other responses must never be joined to these.
    """
    responses = pd.MultiIndex.from_frame(samples[KEY]).sort_values()
    response_ids = samples.set_index(KEY)["response_ids"].reindex(responses)
    lengths, first_equal = response_ids.map(len), _first_equal(response_ids)
    scored = {k: aligned(table, responses, f"the log-probabilities under M{k}") for k, table in logprobs.items()}
    for k, table in scored.items():
        unequal = responses[(table["tokens"] != lengths).to_numpy()]
        if len(unequal):
            raise UserError(
                f"{_named(unequal[0])} has another length in the log-probabilities under M{k}: make them again"
            )
    return RawTables(
        first_equal,
        scored,
        {k: _mean_vote(table, first_equal, k) for k, table in (judgements or {}).items()},
        None if external is None else aligned(external, responses, "the reward model's table")["score"],
        None if verdicts is None else aligned(verdicts, responses, "the verdicts")["verdict"],
    )


def _named(key: tuple[str, int]) -> str:
    return f"response {key[1]} to prompt {key[0]!r}"


def aligned(table: pd.DataFrame, responses: pd.MultiIndex, what: str) -> pd.DataFrame:
    """`table` indexed by KEY, in the order of `responses`. Raises `UserError` when it lacks one of
    them or has one too many; `what` says which table it is."""
    indexed = table.set_index(KEY)
    lacking, foreign = responses.difference(indexed.index), indexed.index.difference(responses)
    for missing, where in ((lacking, "not in"), (foreign, "only in")):
        if len(missing):
            raise UserError(f"{_named(missing[0])} is {where} {what}: make the tables of this iteration again")
    return indexed.reindex(responses)


def _first_equal(response_ids: pd.Series) -> pd.Series:
    first: dict[tuple, int] = {}
    found = [first.setdefault((prompt, tuple(ids)), index) for (prompt, index), ids in response_ids.items()]
    return pd.Series(found, index=response_ids.index)


def _mean_vote(votes: pd.DataFrame, first_equal: pd.Series, k: int) -> pd.Series:
    """Mean over the valid votes on each response and its equals; NaN where every vote failed."""
    counted = votes.groupby(KEY, as_index=False)["score"].agg(["sum", "count"])
    sums = aligned(counted, first_equal.index, f"the judgements of M{k}")
    together = sums.groupby([sums.index.get_level_values("prompt_id"), first_equal.to_numpy()]).transform("sum")
    # Rounded: the same votes summed in another order must tie.
    return (together["sum"] / together["count"].where(together["count"] > 0)).round(9)


def likelihood(raw: RawTables, k: int) -> pd.Series:
    """log π_k(y|x) per response token (nats)."""
    table = raw.logprobs[k]
    return table["logprob_sum"] / table["tokens"]


def log_ratio(raw: RawTables, k: int, reference: int) -> pd.Series:
    """r_k = log π_k(y|x) − log π_ref(y|x), sums over response tokens (paper, "Self-rewarding")."""
    return raw.logprobs[k]["logprob_sum"] - raw.logprobs[reference]["logprob_sum"]


def random_rewards(first_equal: pd.Series, seed: int, t: int) -> pd.Series:
    """Uniform in [0, 1), from run seed, iteration, prompt and the first equal response's index."""
    values = [
        (request_seed(seed, t, f"{prompt}\0random reward", index) >> 11) / 2**53  # as many bits as a float has
        for (prompt, _), index in first_equal.items()
    ]
    return pd.Series(values, index=first_equal.index)


def model_reward(raw: RawTables, method: dict, k: int) -> pd.Series:
    """The reward that M{k}, k ≥ 1, gives by itself."""
    if method["reward"] == "judge":
        return raw.judgements[k]
    if method["reward"] == "likelihood":
        return likelihood(raw, k)
    return log_ratio(raw, k, scoring_reference(k, method["score_ref"]))


def compute_reward(raw: RawTables, method: dict, t: int, seed: int) -> pd.Series:
    """The reward of every response of iteration t under a method (a full row of the table)."""
    if method["reward"] in MODEL_FREE:
        return {
            "reward_model": lambda: raw.external,
            "verifier": lambda: raw.verdicts,
            "random": lambda: random_rewards(raw.first_equal, seed, t),
        }[method["reward"]]()
    settings = method["aggregate"]
    found = [model_reward(raw, method, k) for k in members(method, t)]
    found += [raw.judgements[t] if also == "judge" else raw.external for also in settings["also"]]
    if settings["standardise"]:
        found = [standardised(member) for member in found]
    stacked = np.stack([member.to_numpy(dtype=float) for member in found])
    values = aggregate(settings["how"], stacked, settings["penalty"])
    return pd.Series(values, index=raw.responses)


def compute_comparison(raw: RawTables, method: dict, t: int) -> pd.Series:
    """What consistency compares the reward's ranking with.

    A model's own score: its votes where judges give the reward, its likelihood per token where
    likelihood does, else its log-ratio to its scoring reference. M0 has no log-ratio to itself
    (it is zero for every response), so its likelihood per token stands in: that is the paper's
    case t = 1. `previous_score: likelihood` says so for every model.
    """
    k = compared_model(method, t)
    if k is None:
        return raw.external if method["consistency"]["against"] == "reward_model" else raw.verdicts
    if method["reward"] == "judge":
        return raw.judgements[k]
    reference = scoring_reference(k, method["score_ref"])
    if reference is None or method["reward"] == "likelihood" or method["consistency"]["previous_score"] == "likelihood":
        return likelihood(raw, k)
    return log_ratio(raw, k, reference)
