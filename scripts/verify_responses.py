"""The task's own check of every response: 1 right, 0 wrong, empty where the task has no answers.

    python scripts/verify_responses.py --samples …/sft/M1/samples.parquet \
        --prompts …/data/prompts/iter1.parquet --verdicts …/sft/M1/verdicts.parquet
"""

from __future__ import annotations

import math

from cream import stage
from cream.answers import is_correct
from cream.exchanges import read_exchanges
from cream.tables import VERDICTS, write_table


def main(settings) -> dict:
    samples, items = read_exchanges(settings.samples, settings.prompts)
    verdicts = [
        _verdict(items[prompt_id], text) for prompt_id, text in zip(samples["prompt_id"], samples["text"], strict=True)
    ]
    write_table(samples[["prompt_id", "response_index"]].assign(verdict=verdicts), VERDICTS, settings.verdicts)
    checked = [verdict for verdict in verdicts if not math.isnan(verdict)]
    print(f"{sum(checked):.0f} of {len(checked)} responses are right; {len(verdicts) - len(checked)} can't be checked")
    return {"responses": len(verdicts), "checked": len(checked), "right": sum(checked)}


def _verdict(item: dict, text: str) -> float:
    if item["kind"] == "open":
        return math.nan
    return float(is_correct(item["kind"], text, item["answer"], item["choices"]))


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--samples", type=stage.input_path, required=True, help="sampled responses")
    flags.add_argument("--prompts", type=stage.input_path, required=True, help="the prompts they answer")
    flags.add_argument("--verdicts", type=stage.output_path, required=True, help="table to write")
    stage.run(flags, main, determinism="B")
