"""What a row of the method table means for iteration t: which models score, and from which tables."""

from __future__ import annotations

# Rewards that no policy gives: the same whichever model asks.
MODEL_FREE = ("reward_model", "verifier", "random")


def members(method: dict, t: int) -> list[int]:
    """The models whose rewards of iteration t are aggregated: M{t}, M{t−1}, … back to M1 at most."""
    return [] if method["reward"] in MODEL_FREE else list(range(t, max(0, t - method["aggregate"]["models"]), -1))


def compared_model(method: dict, t: int) -> int | None:
    """The model whose ranking consistency is measured against; None for an external ranking."""
    return {"previous": t - 1, "base": 0}.get(method["consistency"]["against"])


def scoring_reference(k: int, score_ref: str) -> int | None:
    """The model that the implicit reward of M{k} is a log-ratio to; None for M0, which has none."""
    if k == 0:
        return None
    return 0 if score_ref == "base" else k - 1


def tables_needed(method: dict, t: int) -> dict[str, list]:
    """What the rewards of iteration t are computed from.

    Returns `logprobs` and `judgements` (numbers of models), `external` (names of reward models)
    and `verdicts` ([True] where the verifier is asked).
    """
    own, other = set(members(method, t)), {compared_model(method, t)} - {None}
    judged, scored = (own | other, set()) if method["reward"] == "judge" else (set(), own | other)
    if "judge" in method["aggregate"]["also"]:
        judged.add(t)
    if scored and method["reward"] != "likelihood":
        in_ratios = own | (other if method["consistency"]["previous_score"] == "log_ratio" else set())
        scored |= {scoring_reference(k, method["score_ref"]) for k in in_ratios} - {None}
    asked = {method["reward"], method["consistency"]["against"], *method["aggregate"]["also"]}
    return {
        "logprobs": sorted(scored),
        "judgements": sorted(judged),
        "external": [method["reward_model"]] if "reward_model" in asked else [],
        "verdicts": [True] if "verifier" in asked else [],
    }
