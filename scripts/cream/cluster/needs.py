"""What one job needs: GPUs, memory and time, worked out from the study's own sizes.

Work is counted in tokens, all texts as long as they may be, times the model's parameters;
`cluster.seconds` says how long one device takes. Rules ask SLURM for a multiple (`cluster.margin`), and
for more with every attempt; scripts/plan.py adds up the plain estimates.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TRAINING = ("sft", "train")
# Items of a benchmark or a file that can't be counted before it is read.
UNKNOWN_ITEMS = 2000
TEXT_TABLES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Need:
    """One job's GPUs, megabytes of host memory and seconds, as estimated."""

    gpus: int
    memory_mb: int
    seconds: int


def need(config: Mapping, kind: str, tokens: int, parameters: int) -> Need:
    """What a job of a kind (a key of `cluster.bytes`) needs for so many tokens and parameters."""
    cluster, devices = config["cluster"], gpus(config, kind)
    work = tokens / 1000 * parameters / 1e9 * cluster["seconds"].get(kind, 0) / max(devices, 1)
    # Every process of a training has libraries and weights of its own.
    processes = config["compute"]["processes"][kind] if kind in TRAINING else 1
    memory = (cluster["memory_mb"] + parameters * cluster["bytes"][kind] / 1e6) * processes
    return Need(devices, math.ceil(memory), math.ceil(cluster["start_seconds"] + work))


def memory_request(config: Mapping, wanted: Need, attempt: int) -> int:
    """Megabytes to ask for on the n-th attempt."""
    cluster = config["cluster"]
    return max(cluster["least"]["memory_mb"], math.ceil(wanted.memory_mb * cluster["margin"]["memory"])) * attempt


def time_request(config: Mapping, wanted: Need, attempt: int) -> int:
    """Minutes to ask for on the n-th attempt."""
    cluster = config["cluster"]
    return max(cluster["least"]["minutes"], math.ceil(wanted.seconds * cluster["margin"]["time"] / 60)) * attempt


def gpus(config: Mapping, kind: str) -> int:
    """GPUs of a job: one a process in training, one a share of the model in vLLM, else one; none on a processor."""
    compute = config["compute"]
    if compute["platform"] == "cpu" or kind == "convert":
        return 0
    if kind in TRAINING:
        return compute["processes"][kind]
    stage = {"compare": "judge"}.get(kind, kind)
    return compute["vllm"]["tensor_parallel"] if compute["engine"].get(stage) == "vllm" else 1


# Tokens that one job reads or writes


def sft_tokens(config: Mapping) -> int:
    return math.ceil(_examples(config, "sft") * config["sample"]["max_new_tokens"] * config["sft"]["epochs"])


def response_tokens(config: Mapping) -> int:
    """Of all responses of one sampling, scoring or judging job, which does one shard."""
    prompts = math.ceil(_examples(config, "prompts") / config["study"]["shards"])
    return prompts * config["sample"]["responses"] * config["sample"]["max_new_tokens"]


def vote_tokens(config: Mapping) -> int:
    prompts = math.ceil(_examples(config, "prompts") / config["study"]["shards"])
    judge = config["judge"]
    return prompts * config["sample"]["responses"] * judge["votes"] * judge["max_new_tokens"]


def pair_tokens(config: Mapping) -> int:
    """Chosen and rejected of every prompt of an iteration."""
    tokens = 2 * _examples(config, "prompts") * config["sample"]["max_new_tokens"]
    return math.ceil(tokens * config["train"]["epochs"])


def evaluation_tokens(config: Mapping, name: str) -> int:
    """Of a benchmark: one of the study's tasks, or one of lm-evaluation-harness."""
    if name in config["tasks"]:
        return config["tasks"][name]["eval"] * config["evaluate"]["max_new_tokens"]
    benchmark = config["benchmarks"][name]
    return benchmark.get("limit", UNKNOWN_ITEMS) * benchmark.get("max_new_tokens", config["evaluate"]["max_new_tokens"])


def answer_tokens(config: Mapping, name: str) -> int:
    """Of a model's answers to a set of instructions."""
    source = config["instructions"][name]
    return source.get("limit", rows(source["file"])) * config["win_rates"]["max_new_tokens"]


def contest_tokens(config: Mapping, name: str) -> int:
    """Of two models' answers, read in both orders."""
    return 4 * answer_tokens(config, name)


def reward_bench_tokens(config: Mapping) -> int:
    """Of the two answers of every row of a RewardBench file."""
    return 2 * UNKNOWN_ITEMS * config["sample"]["max_new_tokens"]


@functools.cache
def rows(file: str) -> int:
    """Rows of a table of text; UNKNOWN_ITEMS where that takes more than counting lines."""
    path = Path(file)
    if path.suffix not in TEXT_TABLES or not path.is_file():
        return UNKNOWN_ITEMS
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _examples(config: Mapping, split: str) -> int:
    return sum(config["tasks"][name][split] for name in config["study"]["tasks"])
