"""A judge compares two models' answers to the same instructions, each pair in both orders.

    python scripts/judge_answers.py --ours …/cream/M2/answers/everyday.parquet \
        --theirs …/sft/M1/answers/everyday.parquet --template 'Which … {instruction} … {first} … {second} …' \
        --judge '{"model": "smollm2-135m-instruct", "verdict": "likelihood", "prompts_per_batch": 8}' \
        --model …/base/M0/model --base …/base/M0/model \
        --judged …/cream/M2/judged/everyday/sft-M1.parquet --kept …/cream/M2/judged/everyday/sft-M1.jsonl

The judge is a model of the study (--model, --base) or an OpenAI-compatible endpoint, whose answers
are kept in --kept as they come: a run that broke goes on from there.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cream import stage
from cream.phases import importing
from cream.promises import CONTESTED
from cream.tables import read_table, write_table
from cream.win_rates.tables import ANSWERS, JUDGED
from cream.win_rates.verdicts import preference_in_likelihoods, preference_in_words


def main(settings) -> dict:
    with importing():
        from cream.win_rates.comparing import compare_answers
    ours, theirs = (read_table(path, ANSWERS) for path in (settings.ours, settings.theirs))
    judge, ask, read = _judge(settings)
    judged = compare_answers(ours, theirs, settings.template, ask, read)
    write_table(judged, JUDGED, settings.judged)
    outcomes = Counter(judged["outcome"])
    failures = Counter(failure for failure in judged["failure"] if failure)
    print(f"{len(judged)} pairs: {dict(outcomes)}" + (f"; without a verdict: {dict(failures)}" if failures else ""))
    return {"pairs": len(judged), "outcomes": outcomes, "failures": failures, **judge.facts}


def _judge(settings) -> tuple:
    """The judge, how it is asked and how its words are read."""
    definition = json.loads(settings.judge)
    if "endpoint" in definition:
        with importing():
            from cream.win_rates.endpoint import Endpoint, EndpointJudge
        judge = EndpointJudge(Endpoint(**definition), settings.kept)
        return judge, judge.in_words, preference_in_words
    with importing():
        from cream.win_rates.local_judge import LocalJudge
    judge = LocalJudge(settings, definition["prompts_per_batch"], definition.get("max_new_tokens"))
    if definition["verdict"] == "likelihood":
        return judge, judge.in_likelihoods, preference_in_likelihoods
    return judge, judge.in_words, preference_in_words


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--ours", type=stage.input_path, required=True, help="answers of the model that may win")
    flags.add_argument("--theirs", type=stage.input_path, required=True, help="answers of the one it is held against")
    flags.add_argument("--template", required=True, help="the question, with {instruction}, {first} and {second}")
    flags.add_argument("--judge", required=True, help="JSON: the judge's settings (config: judges)")
    flags.add_argument("--model", type=stage.input_path, help="the judge's model, for a local judge")
    flags.add_argument("--base", type=stage.input_path, help="M0 of that model")
    flags.add_argument("--judged", type=stage.output_path, required=True, help="table to write")
    flags.add_argument("--kept", type=Path, required=True, help="where an endpoint's answers are kept")
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=CONTESTED)
