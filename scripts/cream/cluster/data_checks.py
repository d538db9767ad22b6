"""Are the study's models and data here, or will they be, before a node without a network asks for them?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cream.cluster.findings import Finding, ok, wrong
from cream.cluster.space import base_models, reward_models, tasks, wheels
from cream.digests import file_digest
from cream.errors import UserError

HUB = "huggingface.co"


def check_packages(config: Mapping) -> Finding:
    """Packages are fetched by a rule that runs where Snakemake runs."""
    pinned = _digests(config)
    wanted = wheels(config)
    if not wanted:
        return ok("packages", "the study fetches none")
    damaged = [str(wheel) for name, wheel in wanted.items() if wheel.is_file() and file_digest(wheel) != pinned[name]]
    if damaged:
        return wrong("packages", f"{', '.join(damaged)} has another SHA-256 than the configuration pins: remove it")
    here = [name for name, wheel in wanted.items() if wheel.is_file()]
    rest = [name for name in wanted if name not in here]
    to_fetch = f"{', '.join(rest)} will be fetched where Snakemake runs, by pip" if rest else ""
    return ok("packages", "; ".join(filter(None, [f"{', '.join(here)} is here" if here else "", to_fetch])))


def check_files(config: Mapping) -> Iterator[Finding]:
    """Files and folders that the configuration names: a line for each that is missing, one for all if none is."""
    named = dict(_named_files(config))
    missing = {key: path for key, path in named.items() if not Path(path).exists()}
    for key, path in missing.items():
        yield wrong("data", f"{key} names {path}, which doesn't exist: put it there or correct the path")
    folders = {key: path for key, path in named.items() if key.endswith(".folder") and key not in missing}
    bare = {key: path for key, path in folders.items() if not list(Path(path).glob("*.safetensors"))}
    for key, path in bare.items():
        yield wrong("data", f"{key} names {path}, which holds no .safetensors file: other weights are not read")
    if not missing and not bare:
        yield ok("data", f"files and folders that the configuration names are all here: {len(named)}")


def check_judge(config: Mapping) -> Iterator[Finding]:
    """The key of a judge behind an endpoint, which is asked where Snakemake runs."""
    judge = config["judges"].get(config["study"]["judge"], {}) if config["study"]["instructions"] else {}
    variable = judge.get("key_from")
    if variable:
        if os.environ.get(variable):
            yield ok("judge", f"{variable} is set; {judge['endpoint']} is asked where Snakemake runs")
        else:
            yield wrong("judge", f"{variable} isn't set here, where {judge['endpoint']} is asked: export it")


def hub_benchmarks(config: Mapping) -> dict[str, Mapping]:
    """Benchmarks of the study whose data come from the hub."""
    named = {name: config["benchmarks"].get(name) for name in config["study"]["evaluate"]}
    return {name: asked for name, asked in named.items() if asked is not None and "data" not in asked}


def check_benchmarks(config: Mapping, reaches: bool | None) -> Iterator[Finding]:
    """Their data: in the cache of the hub's library, or fetched by jobs where nodes reach the hub."""
    for name, asked in hub_benchmarks(config).items():
        about = "benchmark"
        try:
            where = in_cache(name, asked, config["evaluate"]["max_new_tokens"])
        except UserError as problem:
            yield wrong(about, str(problem))
            continue
        if where is None:
            yield ok(about, f"{name}: its data are in this account's cache, which the nodes must see too")
        elif reaches:
            yield ok(about, f"{name}: its data ({where}) aren't in the cache; nodes reach {HUB}, jobs fetch them")
        else:
            nodes = f"{'no node was asked whether it reaches' if reaches is None else 'nodes do not reach'} {HUB}"
            yield wrong(
                about,
                f"{name}: its data ({where}) aren't in the cache, {nodes}: fetch them where there is a network "
                f"(run its evaluation once), or give files as benchmarks.{name}.data",
            )


def in_cache(name: str, asked: Mapping, max_new_tokens: int) -> str | None:
    """None if the benchmark's data can be read without a network, else what the hub calls them.

    Raises `UserError` for a task that can't be run here.
    """
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import datasets

    from cream.harness.tasks import define

    definition = define(name, asked, {}, max_new_tokens)
    path, part = definition["dataset_path"], definition.get("dataset_name")
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        datasets.load_dataset(path, part, **(definition.get("dataset_kwargs") or {}))
    except Exception:  # what an absent, partial or broken cache raises has no common kind
        return f"{path}, {part}" if part else path
    return None


def _digests(config: Mapping) -> dict[str, str]:
    sources = [*config["models"].values(), *(task["source"] for task in config["tasks"].values())]
    return {source["package"]: source["sha256"] for source in sources if "package" in source}


def _named_files(config: Mapping) -> Iterator[tuple[str, str]]:
    """Keys of the configuration that name files the study reads, with their values."""
    study = config["study"]
    for name in base_models(config):
        if "folder" in config["models"][name]:
            yield f"models.{name}.folder", config["models"][name]["folder"]
    for name in reward_models(config):
        yield f"reward_models.{name}.folder", config["reward_models"][name]["folder"]
    for name in tasks(config):
        source = config["tasks"][name]["source"]
        if source["reader"] == "file":
            yield f"tasks.{name}.source.file", source["file"]
    for name in study["instructions"]:
        yield f"instructions.{name}.file", config["instructions"][name]["file"]
    for name in study["evaluate"]:
        for split, path in config["benchmarks"].get(name, {}).get("data", {}).items():
            yield f"benchmarks.{name}.data.{split}", path
    if study["reward_bench"]:
        yield "study.reward_bench", study["reward_bench"]
