"""The default study's configuration for tests, edits of it, and the sentence a wrong one gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cream.errors import UserError
from cream.settings import check_config

PROJECT = Path(__file__).resolve().parents[1]
SCHEMA = PROJECT / "schemas/config.schema.json"


def default_config() -> dict:
    return yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))


def refusal(config: dict) -> str:
    """The one sentence a wrong configuration gives."""
    with pytest.raises(UserError) as mistake:
        check_config(config, SCHEMA)
    text = str(mistake.value)
    assert text.startswith("config: ")
    assert "\n" not in text
    return text


Edit = Callable[[dict], object]


def setting(path: str, value: object) -> Edit:
    def edit(config: dict) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            config = config[parent]
        config[name] = value

    return edit


def renamed(path: str, to: str) -> Edit:
    def edit(config: dict) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            config = config[parent]
        config[to] = config.pop(name)

    return edit


def removed(path: str) -> Edit:
    def edit(config: dict) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            config = config[parent]
        del config[name]

    return edit
