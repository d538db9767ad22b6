"""A model as judge: k sampled votes on every response, each read from the judge's own words.

    python scripts/judge_responses.py --samples …/M2/samples.parquet --prompts …/data/prompts/iter2.parquet \
        --model …/M2/model --base …/base/M0/model --judge 2 --template 'Rate … {prompt} … {response} …' \
        --votes 3 --temperature 0.8 --top-p 0.95 --max-new-tokens 128 --prompts-per-batch 8 \
        --seed 1 --iteration 2 --judgements …/M2/judgements/M2.parquet

Each response is judged by itself, so its place among the others can't count.
"""

from __future__ import annotations

from collections import Counter

import pandas as pd

from cream import stage
from cream.cells import shard_members
from cream.context import context_length
from cream.exchanges import read_exchanges
from cream.judging import TOO_LONG, judge_question, read_vote
from cream.promises import SAMPLED
from cream.seeds import request_seed
from cream.tables import JUDGEMENTS, write_table


def main(settings) -> dict:
    from cream.engines.base import Decoding, ModelFiles
    from cream.engines.sampler import open_sampler

    samples, items = read_exchanges(settings.samples, settings.prompts)
    sampler = open_sampler(
        settings.engine, ModelFiles(settings.model, settings.base), settings.precision, settings.serving
    )
    asked, too_long = _questions(samples, items, sampler.tokenizer, settings)
    if asked:
        mine = shard_members([question.place for _, question in asked], settings.prompts_per_batch, settings.shard)
        asked = [asked[i] for i in mine]
    number, count = settings.shard
    too_long = too_long[number - 1 :: count]
    decoding = Decoding(settings.temperature, settings.top_p, settings.max_new_tokens, settings.prompts_per_batch)
    print(f"{settings.votes} votes of M{settings.judge} on {len(asked)} responses", flush=True)
    found = sampler.generate([question for _, question in asked], decoding, stage.kept(settings))
    rows = [
        _vote(key, number, vote.text, vote.finish_reason)
        for (key, _), votes in zip(asked, found, strict=True)
        for number, vote in enumerate(votes)
    ]
    rows += [_missing(key, number) for key in too_long for number in range(settings.votes)]
    write_table(pd.DataFrame(rows), JUDGEMENTS, settings.judgements)
    failures = Counter(row["failure"] for row in rows if row["failure"])
    print(f"{len(rows) - failures.total()} of {len(rows)} votes are valid; failed: {dict(failures) or 'none'}")
    return {"votes": len(rows), "failures": failures, **sampler.facts()}


def _questions(samples: pd.DataFrame, items: dict[str, dict], tokenizer, settings) -> tuple[list, list]:
    """What each response's judge is asked, as (key, Prompt); and the keys that leave no room to answer."""
    from cream.engines.base import Prompt
    from cream.engines.tokens import chat_prompt

    context = context_length(settings.base)
    asked, too_long = [], []
    for prompt_id, index, text in zip(samples["prompt_id"], samples["response_index"], samples["text"], strict=True):
        ids = chat_prompt(tokenizer, judge_question(settings.template, items[prompt_id]["prompt"], text))
        if len(ids) + settings.max_new_tokens > context:
            too_long.append((prompt_id, index))
            continue
        judged = f"{prompt_id}\0judged by M{settings.judge}\0"
        seeds = [
            request_seed(settings.seed, settings.iteration, f"{judged}{vote}", index) for vote in range(settings.votes)
        ]
        asked.append(((prompt_id, index), Prompt(f"{prompt_id}/{index}", ids, seeds)))
    return asked, too_long


def _vote(key: tuple[str, int], number: int, text: str, finish_reason: str) -> dict:
    score, failure = read_vote(text, finish_reason)
    return {
        "prompt_id": key[0],
        "response_index": key[1],
        "vote": number,
        "text": text,
        "finish_reason": finish_reason,
        "score": score,
        "failure": failure,
    }


def _missing(key: tuple[str, int], number: int) -> dict:
    return _vote(key, number, "", "not asked") | {"failure": TOO_LONG}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--prompts", type=stage.input_path, required=True, help="the prompts they answer")
    flags.add_argument("--model", type=stage.input_path, required=True, help="the judge, M{k}")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--judgements", type=stage.output_path, required=True, help="table to write")
    flags.add_argument("--judge", type=int, required=True, help="k")
    flags.add_argument("--template", required=True, help="what the judge is asked, with {prompt} and {response}")
    flags.add_argument("--votes", type=int, required=True, help="votes sampled per response")
    stage.add_decoding_flags(flags)
    stage.add_shard_flag(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=SAMPLED)
