"""What an artifact is, read off its path (results/README.md says the same of whole patterns)."""

from __future__ import annotations

import re

from cream.paths import BASE, RESULTS, owner

# The end of a path below a model's, an iteration's or the results' own folder → what lies there.
OF_A_POLICY = {
    r"model": "the weights, or the LoRA adapter on M0, with the tokenizer",
    r"samples": "the responses of this model to each prompt of the iteration",
    r"samples\.shards/(\d+)-of-(\d+)": "part {0} of {1} of this model's responses",
    r"logprobs/(M\d+)": "log-probabilities of this model's responses under {0}",
    r"logprobs/(M\d+)\.shards/(\d+)-of-(\d+)": "part {1} of {2} of the log-probabilities under {0}",
    r"judgements/(M\d+)": "the votes of {0} as a judge of this model's responses",
    r"judgements/(M\d+)\.shards/(\d+)-of-(\d+)": "part {1} of {2} of the votes of {0} as a judge",
    r"verdicts": "the task's own check of each response",
    r"external/(.+)": "scores of this model's responses under the reward model {0}",
    r"eval/(.+)": "the evaluation on held-out items of {0}",
    r"answers/(.+)": "this model's greedy answers to the instructions {0}",
    r"judged/(.+)/(.+)": "a judge's verdicts on the answers to {0} against those of {1}",
    r"reward_bench": "log-probabilities of chosen and rejected of every item of the reward benchmark",
}
OF_AN_ITERATION = {
    r"rewards": "each response's reward, and the score its ranking is compared with",
    r"consistency": "τ, ρ, TopOrder, C and weight of each prompt",
    r"agreement": "the model against its predecessor and against the verifier",
    r"pairs": "the preference pairs with their weights",
}
OF_THE_STUDY = {
    r"assets/(.+)": "the fetched package {0}",
    r"data/pool/(.+)": "all items of the task {0}",
    r"([^/]+)/data/sft": "the split for supervised fine-tuning, with token ids of {0}",
    r"([^/]+)/data/prompts/iter(\d+)": "the prompts of iteration {1}, with token ids of {0}",
    r"([^/]+)/data/eval/(.+)": "the held-out items of {1}, with token ids of {0}",
    r"reward_models/([^/]+)/model": "the external reward model {0}",
    r"tables/splits/(.+)": "sizes of the splits of {0}, which share no prompt",
    r"tables/summary": "the lines that a run ends with",
    r"tables/(.+)": "the table {0} of the whole study",
    r"figures/(.+?)(?:\.vl)?": "the chart {0}",
    r"report/index": "the report, one page",
    r"export/models/(.+)": "the policy {0} as a folder to publish",
    r"export/datasets/(.+)": "the preference pairs {0} as a folder to publish",
}
# A model's splits belong to no policy.
_SPLIT = re.compile(rf"{RESULTS}/(?P<model>[^/]+)/data/(?:sft\.|prompts/|eval/)")
_ENDING = re.compile(r"\.(parquet|json|jsonl|csv|txt|html|svg|png)$")


def what(artifact: str) -> str:
    """A sentence's worth of what an artifact is, or that the grammar doesn't know it."""
    try:
        whose = owner(artifact)
    except ValueError:
        return _told(artifact.removeprefix(f"{RESULTS}/"), OF_THE_STUDY) or "no artifact of the path grammar"
    of_iteration = "/iter" in artifact
    _, _, rest = artifact.partition(f"/{'iter' if of_iteration else 'M'}{whose.iteration}/")
    told = _told(rest, OF_AN_ITERATION if of_iteration else OF_A_POLICY)
    if told is None:
        return "no artifact of the path grammar"
    unit = f"iteration {whose.iteration}" if of_iteration else f"M{whose.iteration}"
    seed = "" if whose.method == BASE else f", {whose.method}, seed {whose.seed}"
    return f"{told} ({unit} of {whose.model}{seed})"


def family(artifact: str) -> tuple[str, str, str, str]:
    """Model, seed, method and M{t} or iteration that an artifact belongs to, each empty where it has none."""
    try:
        whose = owner(artifact)
    except ValueError:
        split = _SPLIT.match(artifact)
        return (split["model"] if split else "", "", "", "")
    unit = "iter" if "/iter" in artifact else "M"
    return whose.model, "" if whose.seed is None else str(whose.seed), whose.method, f"{unit}{whose.iteration}"


def short(artifact: str) -> str:
    """An artifact's name without the folders that `family` tells of, and without its ending."""
    model, _, method, unit = family(artifact)
    above = f"/{method}/{unit}/" if unit else f"{RESULTS}/{model}/" if model else f"{RESULTS}/"
    return _ENDING.sub("", artifact.partition(above)[2]) if above in artifact else artifact


def _told(rest: str, grammar: dict[str, str]) -> str | None:
    rest = _ENDING.sub("", rest)
    for pattern, said in grammar.items():
        found = re.fullmatch(pattern, rest)
        if found:
            return said.format(*found.groups())
    return None
