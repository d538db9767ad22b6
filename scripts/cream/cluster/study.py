"""The configuration of a study as Snakemake has it: config.yaml with the files of --configfile laid over it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cream.errors import UserError
from cream.method_table import method_table
from cream.settings import check_config

PROJECT = Path(__file__).resolve().parents[3]
SCHEMA = PROJECT / "schemas/config.schema.json"


def read_study(files: Sequence[Path] = (), settings: Mapping | None = None) -> dict:
    """The checked configuration; `settings` go over the files, as those of --config do.

    Raises `UserError` for a file that can't be read and for wrong settings.
    """
    from snakemake.utils import update_config

    config: dict = {}
    for file in (PROJECT / "config.yaml", *files):
        update_config(config, _load(Path(file)))
    update_config(config, settings or {})
    check_config(config, SCHEMA)
    return config


def trained_methods(config: Mapping) -> dict[str, dict]:
    """The study's methods that train on preferences, each with all its keys."""
    table = method_table(config, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return {name: table[name] for name in config["study"]["methods"] if not table[name].get("stop_at_m1")}


def _load(file: Path) -> dict:
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError

    if not file.is_file():
        raise UserError(f"{file} doesn't exist: correct the path of the study's settings")
    try:
        return load_configfile(file)
    except (WorkflowError, UnicodeDecodeError) as problem:
        said = " ".join(str(problem).split())
        raise UserError(f"{file} can't be read as settings: {said}") from problem
