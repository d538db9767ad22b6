"""How many bytes results/ of a study takes: at its end, and at most on the way there.

Models are counted; everything else is estimated from above, by the study's token limits. Files that are there
already count as large as they are. Exports aren't in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cream.checkpoints import KEEP
from cream.cluster import needs
from cream.cluster.study import trained_methods
from cream.methods import tables_needed
from cream.paths import RESULTS, policy

FLOAT32 = 4  # every trained number, and what a model read from GGUF is written as
ADAM = 8  # two more numbers of float32 in a checkpoint for every trained one
CHECKPOINTS = KEEP + 1  # of a running training: those it keeps, and the one it writes
# Numbers of a LoRA of rank 1 on every linear layer: 4.1 × parameters^0.6. SmolLM2-135M has 305 280; for Llama and
# Qwen shapes of 0.5 to 70 billion parameters this is up to two fifths too many, and not too few.
LORA, LORA_POWER = 4.1, 0.6
# Upper ends of what the default study left (docs/slurm.md): tokenizer and settings in a model folder, a fetched
# package, a package's items, a generated item, a token that a text may have in a table, the report's page and
# figures without texts, and the small files of a job (log, benchmark, record) with their folders.
TOKENIZER, PACKAGE, POOL, ITEM = 4_000_000, 100_000_000, 1_000_000, 100
TOKEN, PAGE, JOB = 6, 4_000_000, 30_000
UNFINISHED_TOKEN = 12  # an id and its text as JSON


@dataclass(frozen=True)
class Space:
    """Bytes by kind: what stays, and what is there only while jobs run."""

    stays: dict[str, int]
    passes: dict[str, int]

    @property
    def at_end(self) -> int:
        return sum(self.stays.values())

    @property
    def at_most(self) -> int:
        return self.at_end + sum(self.passes.values())


def study_bytes(config: Mapping) -> Space:
    """Bytes of results/ for a checked configuration."""
    study, methods = config["study"], trained_methods(config)
    asked = [tables_needed(row, t) for row in methods.values() for t in range(1, study["iterations"] + 1)]
    seeds, steps = len(study["seeds"]), len(asked)
    chains = seeds * len(study["models"])
    at_once = seeds * max(1, len(methods))  # trainings, or samplings, of one model that run together at most
    judged = sum(len(found["judgements"]) for found in asked)
    adapters = {name: _trained_numbers(config, name) for name in study["models"]}
    texts = needs.response_tokens(config) * study["shards"]
    stays = {
        "fetched packages": sum(_size(wheel, PACKAGE) for wheel in wheels(config).values()),
        "base models": sum(_base(config["models"][name]) for name in base_models(config)),
        "reward models": sum(_base(config["reward_models"][name]) for name in reward_models(config)),
        "trained models": sum(
            seeds * (1 + steps) * (numbers * FLOAT32 + _beside_weights(config, name))
            for name, numbers in adapters.items()
        ),
        "data": sum(_pool(config["tasks"][name]["source"]) for name in tasks(config))
        + TOKEN * len(study["models"]) * 2 * needs.sft_tokens(config),
        "samples, scores, pairs": TOKEN * chains * steps * (2 * texts + 2 * needs.pair_tokens(config)),
        "votes": TOKEN * chains * judged * needs.vote_tokens(config) * study["shards"],
        "evaluations": TOKEN * (len(study["models"]) + chains * (1 + steps)) * _evaluation_tokens(config),
        "report and figures": PAGE + TOKEN * chains * steps * 2 * texts,
        "logs and records": JOB * _jobs(config, chains, steps),
    }
    passes = {
        "checkpoints": CHECKPOINTS * (FLOAT32 + ADAM) * at_once * sum(adapters.values()),
        "unfinished tables": UNFINISHED_TOKEN * at_once * len(study["models"]) * max(texts, _evaluation_tokens(config)),
    }
    return Space({kind: int(size) for kind, size in stays.items()}, {kind: int(size) for kind, size in passes.items()})


def base_models(config: Mapping) -> list[str]:
    """Models of which the study makes M0: its own, and a local judge's."""
    study = config["study"]
    judge = config["judges"].get(study["judge"], {}) if study["instructions"] else {}
    return sorted({*study["models"], *([judge["model"]] if judge and "endpoint" not in judge else [])})


def reward_models(config: Mapping) -> list[str]:
    """External reward models that a method of the study asks."""
    return sorted({name for row in trained_methods(config).values() for name in tables_needed(row, 1)["external"]})


def wheels(config: Mapping) -> dict[str, Path]:
    """Packages the study fetches, as NAME==VERSION, and the files they become."""
    sources = [config["models"][name] for name in base_models(config)]
    sources += [config["tasks"][name]["source"] for name in tasks(config)]
    packages = [source["package"] for source in sources if "package" in source]
    return {package: Path(RESULTS, "assets", f"{package.replace('==', '-')}.whl") for package in packages}


def tasks(config: Mapping) -> list[str]:
    """Tasks the study learns from or evaluates on; benchmarks are not among them."""
    return sorted({*config["study"]["tasks"], *(set(config["study"]["evaluate"]) & set(config["tasks"]))})


def _pool(source: Mapping) -> int:
    """All items of a task as a table: about as large as the file they are read from."""
    return _size(Path(source["file"]), POOL) if source["reader"] == "file" else source.get("count", 0) * ITEM or POOL


def _base(source: Mapping) -> int:
    """M0's folder: a copy of the local folder, or GGUF written as float32."""
    if "folder" in source and Path(source["folder"]).is_dir():
        return sum(file.stat().st_size for file in Path(source["folder"]).iterdir() if file.is_file())
    return source["parameters"] * FLOAT32 + TOKENIZER


def _trained_numbers(config: Mapping, name: str) -> int:
    parameters, rank = config["models"][name]["parameters"], config["lora"]["rank"]
    return min(parameters, int(LORA * parameters**LORA_POWER * rank)) if rank else parameters


def _beside_weights(config: Mapping, name: str) -> int:
    """Tokenizer and settings, which every model folder has."""
    made = Path(policy(name, 0, "", 0), "model")
    source = Path(config["models"][name].get("folder", made))
    for folder in (made, source):
        if (folder / "tokenizer.json").is_file():
            return sum(f.stat().st_size for f in folder.iterdir() if f.is_file() and f.suffix != ".safetensors")
    return TOKENIZER


def _evaluation_tokens(config: Mapping) -> int:
    """Of a model's answers to benchmarks and instructions, these with what a judge says."""
    study = config["study"]
    tokens = sum(needs.evaluation_tokens(config, name) for name in study["evaluate"])
    return tokens + sum(3 * needs.answer_tokens(config, name) for name in study["instructions"])


def _jobs(config: Mapping, chains: int, steps: int) -> int:
    """About as many as the study has: every model is evaluated and judged, every step has a dozen tables."""
    study = config["study"]
    models = len(study["models"]) + chains * (1 + steps)
    return (
        models * (len(study["evaluate"]) + 3 * len(study["instructions"]) + 1)
        + chains * steps * (9 + 4 * study["shards"])
        + 40
    )


def _size(file: Path, otherwise: int) -> int:
    return file.stat().st_size if file.is_file() else otherwise
