"""Responses together with the items they answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cream.errors import UserError
from cream.tables import SAMPLES, SPLIT, read_table


def read_exchanges(samples_file: Path, prompts_file: Path) -> tuple[pd.DataFrame, dict[str, dict]]:
    """The SAMPLES table, and the SPLIT rows by item id.

    Raises `UserError` when a response answers an item that is not there.
    """
    samples = read_table(samples_file, SAMPLES)
    items = {item["item_id"]: item for item in read_table(prompts_file, SPLIT).to_dict("records")}
    unknown = sorted(set(samples["prompt_id"]) - set(items))
    if unknown:
        raise UserError(f"{samples_file} answers {unknown[0]!r}, which is not in {prompts_file}: sample again")
    return samples, items
