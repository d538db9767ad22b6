"""Shared by all tests: the tiny model, built once per session."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["faults_table", "pytester"]

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1")
# On a busy machine two threads wait for each other at every tiny product: fifteen times the seconds.
os.environ.update(OMP_NUM_THREADS="1")

# SLURM's tests run beside these: how long an example takes says nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """What is imported by now stays: statsmodels looks through all of it for garbage at each of its calls."""
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # at the end Python takes all apart, and its extensions look whether it did


@pytest.fixture(scope="session")
def tiny_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the tiny study's model/ and colours.jsonl."""
    import tiny

    folder = tmp_path_factory.mktemp("tiny")
    tiny.build(folder)
    return folder


@pytest.fixture(scope="session")
def audited_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small study with real records, for audits. Tests must not change it."""
    import audited

    return audited.make(tmp_path_factory.mktemp("audited")).parent
