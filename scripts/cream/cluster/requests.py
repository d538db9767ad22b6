"""The largest request of each of the study's stages, for what a partition must have room for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cream.cluster import needs
from cream.cluster.space import base_models, reward_models
from cream.cluster.study import trained_methods
from cream.methods import tables_needed


@dataclass(frozen=True)
class Request:
    """What the largest job of a stage asks for on one attempt."""

    stage: str
    attempt: int
    gpus: int
    cpus: int
    memory_mb: int
    minutes: int


def largest_requests(config: Mapping, attempt: int) -> list[Request]:
    """Of every stage that has jobs on the cluster, the largest on the n-th attempt."""
    return [
        Request(
            stage,
            attempt,
            wanted.gpus,
            _cpus(config, kind),
            needs.memory_request(config, wanted, attempt),
            needs.time_request(config, wanted, attempt),
        )
        for stage, (kind, tokens, parameters) in _stages(config).items()
        for wanted in [needs.need(config, kind, tokens, parameters)]
    ]


def _stages(config: Mapping) -> dict[str, tuple[str, int, int]]:
    """Kind, tokens and parameters of each stage's largest job. Every model meets every task, so the largest job
    has the most of both."""
    study, methods = config["study"], trained_methods(config)
    models = max(config["models"][name]["parameters"] for name in study["models"])
    bases = [config["models"][name]["parameters"] for name in base_models(config)]
    rewards = [config["reward_models"][name]["parameters"] for name in reward_models(config)]
    asked = [tables_needed(row, t) for row in methods.values() for t in range(1, study["iterations"] + 1)]
    stages = {"convert": ("convert", 0, max(bases + rewards)), "sft": ("sft", needs.sft_tokens(config), models)}
    if methods:
        responses = needs.response_tokens(config)
        # M0, the model before and the model itself; before M1 there is M0 alone.
        scorers = 3 if study["iterations"] > 1 else 2
        stages["sample"] = ("sample", responses, models)
        stages["score"] = ("score", scorers * responses, models)
        stages["train"] = ("train", needs.pair_tokens(config), models)
        if rewards:
            stages["reward"] = ("reward", responses, max(rewards))
    if any(found["judgements"] for found in asked):
        stages["judge"] = ("judge", needs.vote_tokens(config), models)
    if study["evaluate"]:
        most = max(needs.evaluation_tokens(config, name) for name in study["evaluate"])
        stages["evaluate"] = ("evaluate", most, models)
    if study["reward_bench"]:
        stages["reward bench"] = ("score", needs.reward_bench_tokens(config), models)
    if study["instructions"]:
        most = max(needs.answer_tokens(config, name) for name in study["instructions"])
        stages["answer"] = ("evaluate", most, models)
        judge = config["judges"][study["judge"]]
        if "endpoint" not in judge:
            most = max(needs.contest_tokens(config, name) for name in study["instructions"])
            stages["compare"] = ("compare", most, config["models"][judge["model"]]["parameters"])
    return stages


def _cpus(config: Mapping, kind: str) -> int:
    """Cores of a job (rules/*.smk: threads)."""
    compute = config["compute"]
    if kind in needs.TRAINING:
        return compute["processes"][kind] * compute["threads"][kind]
    return compute["threads"].get({"compare": "judge"}.get(kind, kind), 1)
