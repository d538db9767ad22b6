"""A study's configuration: what passes, what the schema documents, and limits that depend on several keys."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
import yaml
from snakemake.utils import update_config
from study_config import PROJECT, SCHEMA, default_config, refusal, setting

from cream.cells import shard_members
from cream.errors import UserError
from cream.settings import check_config


@pytest.fixture
def config() -> dict:
    return default_config()


def properties(schema: dict, at: str = "") -> Iterator[tuple[str, dict]]:
    """Every property of the schema, `*` standing for the names of a catalogue."""
    for name, part in schema.get("properties", {}).items():
        yield f"{at}.{name}".strip("."), part
        yield from properties(part, f"{at}.{name}")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        yield from properties(more, f"{at}.*")
    for shape in schema.get("oneOf", []):
        yield from properties(shape, at)


ALL_PROPERTIES = list(properties(json.loads(SCHEMA.read_text(encoding="utf-8"))))
DEFAULTS = [(path, part["default"]) for path, part in ALL_PROPERTIES if "default" in part]


def test_the_default_study_passes(config: dict) -> None:
    check_config(config, SCHEMA)


def test_the_tiny_study_passes(config: dict) -> None:
    update_config(config, yaml.safe_load((PROJECT / "studies/tiny.yaml").read_text(encoding="utf-8")))
    check_config(config, SCHEMA)


def test_checking_changes_nothing(config: dict) -> None:
    before = copy.deepcopy(config)
    check_config(config, SCHEMA)
    assert config == before


def test_every_property_is_explained() -> None:
    assert len(ALL_PROPERTIES) > 50
    unexplained = [path for path, part in ALL_PROPERTIES if not part.get("description", "").strip()]
    assert unexplained == []


def test_the_schema_has_defaults_to_compare() -> None:
    assert len([path for path, _ in DEFAULTS if "*" not in path]) > 30


@pytest.mark.parametrize(("path", "default"), [item for item in DEFAULTS if "*" not in item[0]])
def test_documented_defaults_are_those_of_the_default_study(config: dict, path: str, default: object) -> None:
    value: object = config
    for name in path.split("."):
        value = value[name]
    assert value == default


def test_documented_defaults_of_a_method_are_what_srlm_comes_to(config: dict) -> None:
    documented = [(path.removeprefix("methods.*."), default) for path, default in DEFAULTS if "methods.*." in path]
    assert len(documented) > 20
    srlm = check_config(config, SCHEMA)["srlm"]
    for path, default in documented:
        value = srlm
        for name in path.split("."):
            value = value[name]
        assert value == default, path
    # Nothing else is in the row: its settings are all documented.
    assert sum(len(value) if isinstance(value, dict) else 1 for value in srlm.values()) == len(documented)


@pytest.mark.parametrize("path", ["sample.responses", "study.iterations", "data.seed"])
def test_a_whole_number_written_with_a_point_is_refused(config: dict, path: str) -> None:
    # It would reach the scripts as "--responses 5.0", which is no integer to them.
    setting(path, 5.0)(config)
    assert path in refusal(config)


def test_following_the_hint_about_text_gives_a_value_the_scripts_take(config: dict) -> None:
    setting("sample.responses", "5")(config)
    advised = refusal(config).rsplit(" ", 1)[1]
    assert int(advised) == 5


@pytest.mark.parametrize("seeds", [[0], [1, 2, 3]])
def test_other_studies_pass(config: dict, seeds: list[int]) -> None:
    config["study"].update(seeds=seeds, methods=["cream"], iterations=6, tasks=["legs"], evaluate=["siqa", "sums"])
    config["methods"]["mine"] = {"preset": "cream", "consistency": {"level": "prompt", "measure": "toporder"}}
    config["study"]["methods"].append("mine")
    config["reward_models"]["rm"] = {"folder": "models/rm", "parameters": 10}
    config["models"]["own"] = {"folder": "models/own", "parameters": 10}
    config["tasks"]["own"] = {
        "kind": "choice",
        "source": {"reader": "file", "file": "own.jsonl"},
        "sft": 0,
        "prompts": 0,
        "eval": 1,
    }
    config["tasks"]["talk"] = {
        "kind": "open",
        "source": {"reader": "file", "file": "talk.jsonl"},
        "sft": 10,
        "prompts": 10,
        "eval": 0,
    }
    config["study"]["tasks"].append("talk")
    check_config(config, SCHEMA)


@pytest.mark.parametrize(("processes", "passes"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_batch_is_shared_evenly_by_the_processes(config: dict, processes: int, passes: bool) -> None:
    # 16 examples a step, 8 a forward pass: two processes take one pass each.
    setting("compute.processes.train", processes)(config)
    if passes:
        check_config(config, SCHEMA)
    else:
        assert f"compute.processes.train ({8 * processes})" in refusal(config)


@pytest.mark.parametrize("shards", range(1, 10))
@pytest.mark.parametrize(("sampled", "scored"), [(8, 8), (16, 8), (4, 14), (56, 1), (7, 7), (100, 100)])
def test_shards_pass_just_if_each_has_work(config: dict, shards: int, sampled: int, scored: int) -> None:
    config["study"]["shards"] = shards
    config["sample"]["prompts_per_batch"], config["score"]["prompts_per_batch"] = sampled, scored
    prompts = [(5, f"p{number}") for number in range(20 + 16 + 20)]
    try:
        for size in (sampled, scored):
            for number in range(1, shards + 1):
                shard_members(prompts, size, (number, shards))
    except UserError:
        assert "study.shards" in refusal(config)
    else:
        check_config(config, SCHEMA)


def test_shards_that_leave_a_judge_without_work_are_refused(config: dict) -> None:
    # 56 prompts × 5 responses in batches of 100: three cells for four jobs.
    config["study"].update(shards=4, methods=["sft", "p-srlm"])
    config["judge"]["prompts_per_batch"] = 100
    assert "judge.prompts_per_batch" in refusal(config)


@pytest.mark.parametrize("stage", ["sample", "score", "judge", "evaluate"])
def test_each_stage_may_have_an_engine_of_its_own(config: dict, stage: str) -> None:
    config["compute"]["engine"][stage] = "vllm"
    config["compute"]["vllm"].update(deterministic=True, tensor_parallel=2, gpu_memory=1, cpu_cache_gb=4)
    check_config(config, SCHEMA)
