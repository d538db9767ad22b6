"""Section `cluster` as a finished study's records have it: what jobs took and needed on this machine.

How much work a job has is asked of the plan itself: at a rate of one and with nothing added, the estimate of a
job is its work, and its memory the parameters of its model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from cream.cluster.afterwards import Accounts, seconds_of
from cream.cluster.jobs import Job

# The script that ran → what its rate is called.
KINDS = {
    "train_sft": "sft",
    "sample_responses": "sample",
    "score_responses": "score",
    "score_reward_bench": "score",
    "judge_responses": "judge",
    "reward_responses": "reward",
    "train_policy": "train",
    "evaluate_model": "evaluate",
    "answer_instructions": "evaluate",
    "judge_answers": "compare",
    "convert_model": "convert",
    "export_model": "convert",
}
# Not by tokens, so without a rate.
UNTIMED = {"convert"}
# Laid over a study, it makes `expected_seconds` the parameter-kilotokens of one device, `mem_mb` the parameters.
UNIT = {
    "cluster": {
        "start_seconds": 0,
        "seconds": dict.fromkeys({*KINDS.values()} - UNTIMED, 1e9),
        "bytes": dict.fromkeys({*KINDS.values()}, 1e6),
        "memory_mb": 1,
        "margin": {"time": 1, "memory": 1},
        "least": {"minutes": 1, "memory_mb": 1},
    }
}
DIGITS = 3


def rates(pairs: Sequence[tuple[Job, dict]], memory_mb: int, accounted: Accounts) -> dict:
    """Section `cluster` from jobs planned at UNIT's rates, their records and what SLURM knows of them.

    `seconds`: the median of each kind's jobs. `start_seconds`: the median of all before their work began.
    `bytes`: the largest of each kind's jobs, beside `memory_mb`, which is lowered to what the smallest job with
    torch took if that is less. A kind without jobs isn't in it.
    """
    modelled = [(KINDS[record["stage"]], job, record) for job, record in _modelled(pairs)]
    if not modelled:
        return {}
    base = min([memory_mb, *(record["peak_memory_mb"] for kind, _, record in modelled if kind not in UNTIMED)])
    timed, sized, starts = defaultdict(list), defaultdict(list), []
    for kind, job, record in modelled:
        work = record["phases"]["work"]
        sized[kind].append(max(record["peak_memory_mb"] - base, 0) * 1e6 / (job.memory_mb - 1))
        if kind not in UNTIMED:
            timed[kind].append(work * 1e9 / job.seconds)
            starts.append(seconds_of(record, accounted) - work)
    return {
        **({"start_seconds": _rounded(median(starts))} if starts else {}),
        "seconds": {kind: _rounded(median(found)) for kind, found in sorted(timed.items())},
        "bytes": {kind: max(_rounded(max(found)), 1) for kind, found in sorted(sized.items())},
        "memory_mb": base,
    }


def counts(pairs: Sequence[tuple[Job, dict]]) -> Mapping[str, int]:
    """Jobs that each kind was measured on."""
    return Counter(KINDS[record["stage"]] for _, record in _modelled(pairs))


def _modelled(pairs: Sequence[tuple[Job, dict]]) -> list[tuple[Job, dict]]:
    # The times of a record are those of its last try: of one that went on behind another, they say too little.
    return [
        (job, record)
        for job, record in pairs
        if record["stage"] in KINDS and job.rated and not record["observed"].get("continues_an_earlier_try")
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
