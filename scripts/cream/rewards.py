"""The model's own reward for its responses (paper, section "Self-rewarding")."""

from __future__ import annotations

import pandas as pd

from cream.errors import UserError

KEY = ["prompt_id", "response_index"]


def implicit_rewards(
    current: pd.DataFrame,
    previous: pd.DataFrame,
    base: pd.DataFrame,
    previous_score: str,
    previous_is_base: bool,
) -> pd.DataFrame:
    """Rewards of every response under the current model and the one before it.

    Each table has prompt_id, response_index, logprob_sum (nats) and tokens. The current reward
    is `r_t = log π_t(y|x) − log π_0(y|x)`, sums over response tokens. The previous model's is
    the same log-ratio of M{t−1} (`previous_score="log_ratio"`) or its likelihood per token
    (`"likelihood"`). When the previous model is M0 itself (t = 1) its log-ratio is zero for
    every response, so its likelihood per token is used whatever the setting says.

    Returns KEY, reward, previous_reward. Raises `UserError` when the tables don't hold the very
    same responses.
    """
    joined = _join(_join(current, base, "base"), previous, "previous")
    reward = joined["logprob_sum"] - joined["logprob_sum_base"]
    if previous_is_base or previous_score == "likelihood":
        previous_reward = joined["logprob_sum_previous"] / joined["tokens_previous"]
    else:
        previous_reward = joined["logprob_sum_previous"] - joined["logprob_sum_base"]
    return joined[KEY].assign(reward=reward, previous_reward=previous_reward)


def _join(left: pd.DataFrame, right: pd.DataFrame, suffix: str) -> pd.DataFrame:
    """Join by key, all of it: a response scored on one side only is an error, not a dropped row."""
    joined = left.merge(right, on=KEY, how="outer", suffixes=("", f"_{suffix}"), indicator="side", validate="1:1")
    alone = joined[joined["side"] != "both"]
    if len(alone):
        prompt, index = alone.iloc[0][KEY]
        raise UserError(
            f"response {index} to prompt {prompt!r} is scored by one model but not by the other: "
            "make the score tables of this iteration again"
        )
    unequal = joined[joined["tokens"] != joined[f"tokens_{suffix}"]]
    if len(unequal):
        prompt, index = unequal.iloc[0][KEY]
        raise UserError(
            f"response {index} to prompt {prompt!r} has another length in the {suffix} model's table: "
            "make the score tables of this iteration again"
        )
    return joined.drop(columns="side")
