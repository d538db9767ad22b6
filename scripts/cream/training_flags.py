"""From a training script's flags to the engine's settings."""

from __future__ import annotations

import argparse

from cream.engines.base import Lora, Optimisation


def optimisation_of(settings: argparse.Namespace) -> Optimisation:
    return Optimisation(**{name: getattr(settings, name) for name in Optimisation.__dataclass_fields__})


def lora_of(settings: argparse.Namespace) -> Lora:
    return Lora(settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
