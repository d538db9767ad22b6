"""Lay out a policy for others: weights or adapter, tokenizer, configuration, and a model card.

    python scripts/export_model.py --policy results/MODEL/seed1/cream/M3/model --base results/MODEL/base/M0/model \
        --accuracy results/tables/accuracy.csv --splits results/tables/splits/MODEL.csv \
        --comparisons results/tables/comparisons.csv --drift results/tables/drift.csv \
        --consistency results/tables/consistency.csv --win-rates results/tables/win_rates.csv \
        --reward-quality results/tables/reward_quality.csv --pairs results/MODEL/seed1/cream/iter*/pairs.parquet \
        --study '{…}' --method '{…}' --export results/export/models/MODEL-M3-cream-seed1

With --merge-on TABLE an adapter is merged into M0, and what that changes is measured on the first
examples of that split.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml

from cream import stage
from cream.cards.model_card import ADAPTER, MERGED, WHOLE, Exported, Making, Tables, model_card
from cream.cards.study import commit, portable
from cream.errors import UserError
from cream.exports import model_name
from cream.model_folders import copy_model, parameters
from cream.paths import BASE, Owner, owner
from cream.promises import EXPORTED
from cream.records import record_path
from cream.tables import PAIRS, SPLIT, read_table

# Seed examples that a merged model's log-probabilities are compared on.
MEASURED_ON = 32
# Tables that a study may have none of.
OPTIONAL = ("comparisons", "drift", "consistency", "win_rates", "reward_quality")


def main(settings) -> dict:
    whose = owner(settings.policy)
    adapter = (settings.policy / "adapter_config.json").is_file()
    expected = model_name(whose, settings.merge_on is not None)
    if settings.export.name != expected:
        raise UserError(f"{settings.export}: {settings.policy} is exported as {expected}: ask for that")
    if settings.merge_on is not None and not adapter:
        raise UserError(f"{settings.policy} is no adapter, so there is nothing to merge: export it unmerged")
    tables = Tables(
        _table(settings.accuracy),
        _table(settings.splits),
        *(_optional(getattr(settings, name)) for name in OPTIONAL),
    )
    pairs = sorted((owner(path).iteration, path) for path in settings.pairs)
    making = Making(
        settings.study,
        settings.method,
        commit(Path(__file__).resolve().parents[1]),
        record_path(settings.policy),
        tuple((t, read_table(path, PAIRS)) for t, path in pairs),
    )
    with stage.whole_folder(settings.export) as folder:
        exported, left_out = _lay_out(whose, adapter, settings, folder)
        configuration = yaml.safe_dump(portable(settings.study), sort_keys=False, allow_unicode=True)
        (folder / "study.yaml").write_text(configuration, encoding="utf-8")
        model_card(exported, tables, making).save(folder / "README.md")
    print(
        f"{settings.export}: {exported.form}, {exported.total:,} parameters; left out: {', '.join(left_out) or 'none'}"
    )
    return {"form": exported.form, "left_out": left_out, "merging": exported.merging}


def _lay_out(whose: Owner, adapter: bool, settings, folder: Path) -> tuple[Exported, list[str]]:
    if settings.merge_on is not None:
        return _merged(whose, settings, folder), []
    base = model_name(Owner(whose.model, None, BASE, 0))
    left_out = copy_model(settings.policy, folder, f"./{base}" if adapter else None)
    own = parameters(folder)
    total = own + parameters(settings.base) if adapter else own
    return Exported(whose, ADAPTER if adapter else WHOLE, own, total), left_out


def _merged(whose: Owner, settings, folder: Path) -> Exported:
    from cream.engines.base import ModelFiles
    from cream.engines.hf_merging import merge_adapter
    from cream.engines.tokens import load_tokenizer

    split = read_table(settings.merge_on, SPLIT).head(MEASURED_ON)
    examples = list(zip(split["prompt_ids"], split["target_ids"], strict=True))
    merging = merge_adapter(ModelFiles(settings.policy, settings.base), examples, folder)
    load_tokenizer(settings.policy).save_pretrained(folder)
    count = parameters(folder)
    return Exported(whose, MERGED, count, count, merging)


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        raise UserError(f"{path} can't be read as CSV ({problem}): make the tables again") from problem


def _optional(paths: list[Path]) -> pd.DataFrame | None:
    """The table if there is one; a study without preference training writes an empty file, or none."""
    return _table(paths[0]) if paths and paths[0].stat().st_size > 1 else None


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--policy", type=stage.input_path, required=True, help="model folder of the policy")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--accuracy", type=stage.input_path, required=True, help="accuracy table")
    flags.add_argument("--splits", type=stage.input_path, required=True, help="sizes of the splits")
    flags.add_argument("--comparisons", type=stage.input_path, nargs="*", default=[], help="paired comparisons")
    flags.add_argument("--drift", type=stage.input_path, nargs="*", default=[], help="drift monitors")
    flags.add_argument("--consistency", type=stage.input_path, nargs="*", default=[], help="consistency table")
    flags.add_argument("--win-rates", type=stage.input_path, nargs="*", default=[], help="win rates")
    flags.add_argument("--reward-quality", type=stage.input_path, nargs="*", default=[], help="quality of the rewards")
    flags.add_argument("--pairs", type=stage.input_path, nargs="*", default=[], help="pairs the policy was trained on")
    flags.add_argument("--study", type=json.loads, required=True, help="the whole configuration as JSON")
    flags.add_argument("--method", type=json.loads, help="the method's full row as JSON")
    flags.add_argument("--merge-on", type=stage.input_path, help="merge the adapter; split to measure the change on")
    flags.add_argument("--export", type=stage.output_path, required=True, help="folder to make")
    stage.run(flags, main, determinism="C", tolerance=EXPORTED)
