"""The method table: presets, defaults and overrides make full rows; recipes that can't work are refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from cream.errors import UserError
from cream.method_table import PLAIN_LOSSES, WEIGHTED_LOSSES, check_methods, method_table
from cream.settings import check_config

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = PROJECT / "schemas/config.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
ROW = SCHEMA["properties"]["methods"]["additionalProperties"]["oneOf"][1]
DEFAULT = yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))
TRAINED = [name for name, row in DEFAULT["methods"].items() if not row.get("stop_at_m1")]


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(DEFAULT)


def laid_over(config: dict, text: str) -> dict:
    """A study file over the configuration, as Snakemake's --configfile lays it."""
    update_config(config, yaml.safe_load(text))
    return config


def resolved(config: dict, text: str = "{}") -> dict[str, dict]:
    return check_config(laid_over(config, text), SCHEMA_FILE)


def refusal(config: dict, text: str = "{}") -> str:
    """The one sentence that a study which can't work gives."""
    with pytest.raises(UserError) as mistake:
        resolved(config, text)
    said = str(mistake.value)
    assert said.startswith("config: ")
    assert "\n" not in said
    return said


def leaves(shape: dict, at: str = "") -> Iterator[str]:
    """The settings of a row, as KEY or SECTION.KEY."""
    for name, part in shape["properties"].items():
        if "properties" in part:
            yield from leaves(part, f"{at}{name}.")
        elif name not in ("preset", "reward_model"):
            yield f"{at}{name}"


SETTINGS = list(leaves(ROW))


def value_at(row: dict, path: str) -> object:
    for name in path.split("."):
        row = row[name]
    return row


def at_path(path: str, value: object) -> dict:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


# Rows in full


@pytest.mark.parametrize("name", TRAINED)
def test_every_row_of_the_default_study_is_full(config: dict, name: str) -> None:
    row = method_table(config, SCHEMA)[name]
    assert "preset" not in row
    full = {key: set(part.get("properties", {})) for key, part in ROW["properties"].items() if key != "preset"}
    found = {key: set(value) if isinstance(value, dict) else set() for key, value in row.items()}
    assert found == {key: keys for key, keys in full.items() if key != "reward_model"}
    # And full rows are rows: the schema takes each as it stands.
    config["methods"] = {"sft": {"stop_at_m1": True}, name: row}
    config["study"] |= {"methods": ["sft"], "baseline": name}
    assert check_config(config, SCHEMA_FILE)[name] == row


def test_the_row_that_stops_stays_as_it_is(config: dict) -> None:
    assert resolved(config)["sft"] == {"stop_at_m1": True}


def test_the_defaults_are_plain_self_rewarding(config: dict) -> None:
    row = resolved(config, "methods: {empty: {}}")["empty"]
    assert row == resolved(config)["srlm"]
    assert (row["reward"], row["aggregate"]["how"], row["consistency"]["measure"]) == ("implicit", "single", "none")
    assert (row["score_ref"], row["loss"]["type"], row["loss"]["beta"]) == ("base", "dpo", 0.1)


# What each shipped row has that srlm hasn't (the paper notes' table of recipes).
RECIPES: dict[str, dict[str, object]] = {
    "srlm": {},
    "cream": {"consistency.measure": "kendall", "loss.type": "cream"},
    "cream-dyn": {"consistency.measure": "kendall", "loss.type": "cream", "consistency.level": "prompt"},
    "cream-spearman": {"consistency.measure": "spearman", "loss.type": "cream"},
    "cream-toporder": {"consistency.measure": "toporder", "loss.type": "cream"},
    "cream-clipped": {"consistency.measure": "kendall", "loss.type": "cream", "consistency.clip": 0.5},
    "cream-dropped": {"consistency.measure": "kendall", "loss.type": "cream", "consistency.drop_negative": True},
    "constant": {"consistency.measure": "constant", "consistency.value": 0.75, "loss.type": "cream"},
    "signed": {"consistency.measure": "kendall", "loss.type": "signed"},
    "rdpo": {"consistency.measure": "kendall", "loss.type": "robust"},
    "ipo": {"loss.type": "ipo"},
    "p-srlm": {"reward": "judge", "pairs.ties": "drop"},
    "p-cream": {"reward": "judge", "consistency.measure": "kendall", "loss.type": "cream"},
    "ensemble-mean": {"aggregate.how": "mean", "aggregate.models": 2},
    "ensemble-worst": {"aggregate.how": "worst", "aggregate.models": 2},
    "ensemble-uwo": {"aggregate.how": "uwo", "aggregate.models": 2},
    "oracle": {"reward": "verifier"},
    "cream-oracle": {"consistency.measure": "kendall", "loss.type": "cream", "consistency.against": "verifier"},
    "external-rm": {"reward": "reward_model"},
    "cream-external-rm": {
        "consistency.measure": "kendall",
        "loss.type": "cream",
        "consistency.against": "reward_model",
    },
    "likelihood": {"reward": "likelihood"},
    "random": {"reward": "random"},
}


def test_every_shipped_row_is_listed() -> None:
    assert set(RECIPES) == set(TRAINED)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_row_differs_from_srlm_in_its_recipe_alone(config: dict, name: str) -> None:
    table = resolved(config)
    differs = {
        path: value_at(table[name], path)
        for path in SETTINGS
        if value_at(table[name], path) != value_at(table["srlm"], path)
    }
    assert differs == RECIPES[name]


@pytest.mark.parametrize("name", [name for name in TRAINED if "external" not in name])
def test_the_default_study_can_pick_any_row_that_needs_nothing_more(config: dict, name: str) -> None:
    assert name in resolved(config, f"study: {{methods: [{name}]}}")


def test_the_tiny_study_may_pick_every_row(config: dict) -> None:
    laid_over(config, (PROJECT / "studies/tiny.yaml").read_text(encoding="utf-8"))
    config["study"]["methods"] = list(config["methods"])
    table = check_config(config, SCHEMA_FILE)
    assert table["external-rm"]["reward_model"] == table["cream-external-rm"]["reward_model"] == "tiny-rm"


# Presets and overrides

OTHER_VALUES: dict[str, object] = {
    "reward": "likelihood",
    "score_ref": "previous",
    "aggregate.how": "mean",
    "aggregate.models": 4,
    "aggregate.also": ["judge"],
    "aggregate.standardise": True,
    "aggregate.penalty": 0.25,
    "consistency.measure": "toporder",
    "consistency.value": 0.6,
    "consistency.level": "prompt",
    "consistency.against": "base",
    "consistency.previous_score": "likelihood",
    "consistency.clip": 0.5,
    "consistency.drop_negative": True,
    "pairs.ties": "drop",
    "pairs.truncated": "drop",
    "pairs.min_margin": 0.5,
    "pairs.length_penalty": 0.125,
    "loss.type": "signed",
    "loss.beta": 0.3,
    "loss.max_epsilon": 0.2,
}


def test_every_setting_has_another_value_to_try() -> None:
    assert list(OTHER_VALUES) == SETTINGS


@pytest.mark.parametrize("path", SETTINGS)
@pytest.mark.parametrize("own_name", [True, False])
def test_one_key_is_overridden_under_the_rows_own_name_or_another(config: dict, path: str, own_name: bool) -> None:
    before = method_table(config, SCHEMA)["cream"]
    name, row = ("cream", {}) if own_name else ("mine", {"preset": "cream"})
    update_config(config, {"methods": {name: {**row, **at_path(path, OTHER_VALUES[path])}}})
    table = method_table(config, SCHEMA)
    changed = [key for key in SETTINGS if value_at(table[name], key) != value_at(before, key)]
    assert changed == [path]
    assert value_at(table[name], path) == OTHER_VALUES[path]
    # A row that starts from cream follows it, unless it says otherwise itself.
    expected = before if not own_name else table["cream"]
    assert table["cream-external-rm"] == {
        **expected,
        "consistency": {**expected["consistency"], "against": "reward_model"},
    }


def test_a_preset_of_a_preset_of_a_preset(config: dict) -> None:
    table = resolved(
        config,
        """
        methods:
          a: {preset: b, loss: {beta: 0.5}}
          b: {preset: c, consistency: {level: prompt}, loss: {beta: 0.4}}
          c: {preset: cream, consistency: {measure: spearman}, loss: {beta: 0.3, max_epsilon: 0.1}}
        """,
    )
    a = table["a"]
    assert a["loss"] == {"type": "cream", "beta": 0.5, "max_epsilon": 0.1}
    assert (a["consistency"]["measure"], a["consistency"]["level"]) == ("spearman", "prompt")
    assert (table["b"]["loss"]["beta"], table["c"]["loss"]["beta"]) == (0.4, 0.3)


def test_nothing_is_a_value_that_overrides(config: dict) -> None:
    table = resolved(config, "methods: {mine: {preset: cream-clipped, consistency: {clip: null}}}")
    assert table["mine"] == table["cream"]


def test_a_list_is_replaced_not_lengthened(config: dict) -> None:
    text = """
        methods:
          both: {reward_model: rm, aggregate: {how: mean, also: [judge, reward_model], standardise: true}}
          one: {preset: both, aggregate: {also: [judge]}}
          none: {preset: both, aggregate: {how: single, also: []}}
        """
    table = resolved(config, text)
    assert [table[name]["aggregate"]["also"] for name in ("both", "one", "none")] == [
        ["judge", "reward_model"],
        ["judge"],
        [],
    ]


def test_resolving_changes_nothing_and_shares_nothing(config: dict) -> None:
    schema = copy.deepcopy(SCHEMA)
    table = method_table(config, schema)
    assert config == DEFAULT
    again = method_table(config, schema)
    for name in TRAINED:
        assert table[name] == again[name]
        for section in ("aggregate", "consistency", "pairs", "loss"):
            table[name][section]["changed"] = name
        table[name]["aggregate"]["also"].append(name)
    assert method_table(config, schema) == again
    assert config == DEFAULT
    assert schema == SCHEMA


def test_the_order_of_rows_doesnt_matter(config: dict) -> None:
    backwards = {**config, "methods": dict(reversed(config["methods"].items()))}
    assert method_table(backwards, SCHEMA) == method_table(config, SCHEMA)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("mine: {preset: creem}", ["methods.mine.preset", "'creem'", "cream"]),
        ("mine: {preset: sft}", ["methods.mine.preset", "'sft'", "cream"]),
        ("mine: {preset: mine}", ["methods.mine.preset", "'mine'", "itself"]),
        ("{a: {preset: b}, b: {preset: a}}", ["methods.", ".preset", "itself"]),
        ("{a: {preset: b}, b: {preset: c}, c: {preset: b}}", ["methods.c.preset", "'b'", "itself"]),
        ("cream: {preset: cream-dyn}", ["methods.", ".preset", "cream", "itself"]),
        ("mine: {preset: 3}", ["methods.mine.preset", "3", "string"]),
        ("mine: {preset: null}", ["methods.mine.preset", "None", "string"]),
        ("mine: {preset: ''}", ["methods.mine.preset", "''"]),
    ],
)
def test_a_preset_that_cannot_be_is_refused(config: dict, rows: str, words: list[str]) -> None:
    said = refusal(config, f"methods: {rows if rows[0] == '{' else '{' + rows + '}'}")
    assert all(word in said for word in words), said


def test_the_presets_offered_are_those_that_could_be_meant(config: dict) -> None:
    known = refusal(config, "methods: {mine: {preset: creem}}").rsplit("known are ", 1)[1].split(", ")
    assert known == TRAINED


# Recipes that contradict themselves: refused in any row, also one the study doesn't pick

CONTRADICTIONS: dict[str, tuple[str, str, list[str]]] = {
    # name: (row, key that must be named, further words)
    "constant without a value": ("{consistency: {measure: constant}, loss: {type: cream}}", "consistency.value", []),
    "value with an estimated measure": (
        "{preset: cream, consistency: {value: 0.75}}",
        "consistency.value",
        ["kendall"],
    ),
    "value without a measure": ("{consistency: {value: 0.75}}", "consistency.value", ["none"]),
    "another measure over constant": ("{preset: constant, consistency: {measure: spearman}}", "consistency.value", []),
    "constant by prompt": ("{preset: constant, consistency: {level: prompt}}", "consistency.level", ["constant"]),
    "no weight, by prompt": ("{consistency: {level: prompt}}", "consistency.level", ["none"]),
    "clipped constant": ("{preset: constant, consistency: {clip: 0.5}}", "consistency.clip", ["constant"]),
    "clip without a weight": ("{consistency: {clip: 0}}", "consistency.clip", ["none"]),
    "cream without a weight": ("{loss: {type: cream}}", "consistency.measure", ["cream"]),
    "signed without a weight": ("{loss: {type: signed}}", "consistency.measure", ["signed"]),
    "robust without a weight": ("{loss: {type: robust}}", "consistency.measure", ["robust"]),
    "dpo with a weight": ("{consistency: {measure: kendall}}", "loss.type", ["dpo", "cream, signed, robust"]),
    "ipo with a weight": ("{preset: cream, loss: {type: ipo}}", "loss.type", ["ipo"]),
    "dpo with a constant": ("{preset: constant, loss: {type: dpo}}", "loss.type", ["dpo"]),
    "toporder against the verifier": (
        "{preset: cream-oracle, consistency: {measure: toporder}}",
        "consistency.measure",
        ["kendall or spearman"],
    ),
    "toporder of verdicts": ("{preset: cream-toporder, reward: verifier}", "consistency.measure", ["right and wrong"]),
    "verifier against itself": ("{preset: cream-oracle, reward: verifier}", "consistency.against", ["verifier"]),
    "reward model against itself": (
        "{preset: cream-external-rm, reward: reward_model, reward_model: tiny-rm}",
        "consistency.against",
        ["reward_model"],
    ),
    "single of two models": ("{aggregate: {models: 2}}", "aggregate.how", ["single"]),
    "single with a judge": ("{aggregate: {also: [judge], standardise: true}}", "aggregate.how", ["single"]),
    "mean of one": ("{aggregate: {how: mean}}", "aggregate.how", ["mean"]),
    "worst of one": ("{aggregate: {how: worst}}", "aggregate.how", ["worst"]),
    "uwo of one": ("{preset: ensemble-uwo, aggregate: {models: 1}}", "aggregate.how", ["uwo"]),
    "also without standardising": (
        "{aggregate: {how: mean, also: [judge]}}",
        "aggregate.standardise",
        ["judge", "implicit"],
    ),
    "judge besides judge": (
        "{reward: judge, aggregate: {how: mean, also: [judge], standardise: true}}",
        "aggregate.also",
        ["judge"],
    ),
    "several verifiers": ("{reward: verifier, aggregate: {how: mean, models: 2}}", "aggregate", ["verifier"]),
    "several random numbers": ("{reward: random, aggregate: {how: worst, models: 3}}", "aggregate", ["random"]),
    "reward model and judge": (
        "{reward: reward_model, aggregate: {how: mean, also: [judge], standardise: true}}",
        "aggregate",
        ["reward_model"],
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
@pytest.mark.parametrize("picked", [True, False])
def test_a_recipe_that_contradicts_itself_is_refused(config: dict, case: str, picked: bool) -> None:
    row, key, words = CONTRADICTIONS[case]
    if picked:
        config["study"]["methods"] = ["mine"]
    said = refusal(config, f"methods: {{mine: {row}}}")
    assert said.startswith(f"config: methods.mine.{key}: "), said
    assert all(word in said for word in words), said


@pytest.mark.parametrize("loss", [*PLAIN_LOSSES, *WEIGHTED_LOSSES])
@pytest.mark.parametrize("measure", ["none", "constant", "kendall", "spearman", "toporder"])
def test_a_weight_goes_with_the_losses_that_read_it(config: dict, loss: str, measure: str) -> None:
    row = {"loss": {"type": loss}, "consistency": {"measure": measure, "value": 0.5 if measure == "constant" else None}}
    config["methods"]["mine"] = row
    if (measure == "none") == (loss in PLAIN_LOSSES):
        assert resolved(config)["mine"]["loss"]["type"] == loss
    else:
        assert "methods.mine." in refusal(config)


def test_every_loss_of_the_schema_is_of_one_kind() -> None:
    kinds = ROW["properties"]["loss"]["properties"]["type"]["enum"]
    assert sorted(kinds) == sorted(PLAIN_LOSSES + WEIGHTED_LOSSES)


@pytest.mark.parametrize(
    "row",
    [
        "{preset: constant, consistency: {value: 0}}",
        "{preset: constant, consistency: {value: 1.0}}",
        "{preset: constant, loss: {type: signed}}",
        "{preset: cream, consistency: {level: prompt, clip: 0, drop_negative: true}}",
        "{preset: cream, consistency: {against: base}}",
        "{reward: judge, aggregate: {how: worst, models: 3}}",
        "{aggregate: {how: uwo, also: [judge], standardise: true, penalty: 0}}",
        "{reward: random, consistency: {measure: kendall}, loss: {type: cream}}",
    ],
)
def test_unusual_recipes_that_work_are_taken(config: dict, row: str) -> None:
    resolved(config, f"{{study: {{methods: [mine]}}, methods: {{mine: {row}}}}}")


# What the study doesn't have: refused in the rows it picks, and only there

OPEN_TASK = "tasks: {talk: {kind: open, source: {reader: file, file: talk.jsonl}, sft: 4, prompts: %d, eval: 0}}"
ABSENT: dict[str, tuple[str, str, list[str]]] = {
    # name: (study, key that must be named, further words)
    "no reward model named": ("study: {methods: [external-rm]}", "external-rm.reward", ["reward_models", "none yet"]),
    "none to compare with": (
        "study: {methods: [cream-external-rm]}",
        "cream-external-rm.consistency.against",
        ["methods.cream-external-rm.reward_model"],
    ),
    "none for the ensemble": (
        "{study: {methods: [mine]},"
        " methods: {mine: {aggregate: {how: mean, also: [judge, reward_model], standardise: true}}}}",
        "mine.aggregate.also.1",
        ["methods.mine.reward_model"],
    ),
    "unknown reward model": (
        "{study: {methods: [external-rm]}, methods: {external-rm: {reward_model: skywork}},"
        " reward_models: {other: {folder: x, parameters: 10}}}",
        "external-rm.reward_model",
        ["'skywork'", "known are other"],
    ),
    "open task for the oracle": (
        f"{{study: {{methods: [oracle], tasks: [siqa, talk]}}, {OPEN_TASK % 4}}}",
        "oracle.reward",
        ["verifier", "'talk'", "open"],
    ),
    "open task for consistency with the verifier": (
        f"{{study: {{methods: [cream-oracle], tasks: [siqa, talk]}}, {OPEN_TASK % 4}}}",
        "cream-oracle.consistency.against",
        ["verifier", "'talk'", "open"],
    ),
    "judge template without prompt": (
        "{study: {methods: [p-srlm]}, judge: {template: 'Rate {response}'}}",
        "p-srlm.reward",
        ["judge.template", "{prompt}"],
    ),
    "judge template without response": (
        "{study: {methods: [p-cream]}, judge: {template: 'Rate {prompt} { response }'}}",
        "p-cream.reward",
        ["judge.template", "{response}"],
    ),
    "empty judge template": (
        "{study: {methods: [p-srlm]}, judge: {template: ''}}",
        "p-srlm.reward",
        ["judge.template", "{prompt} and {response}"],
    ),
    "judge in an ensemble without a template": (
        "{study: {methods: [mine]}, methods: {mine: {aggregate: {how: mean, also: [judge], standardise: true}}},"
        " judge: {template: x}}",
        "mine.aggregate.also.0",
        ["judge.template"],
    ),
}


@pytest.mark.parametrize("case", ABSENT)
def test_a_picked_row_that_asks_for_what_is_absent_is_refused(config: dict, case: str) -> None:
    study, key, words = ABSENT[case]
    said = refusal(config, study)
    assert said.startswith(f"config: methods.{key}: "), said
    assert all(word in said for word in words), said


@pytest.mark.parametrize("case", ABSENT)
def test_the_same_row_may_wait_in_the_table(config: dict, case: str) -> None:
    laid_over(config, ABSENT[case][0])
    config["study"]["methods"] = ["sft", "srlm"]
    resolved(config)


def test_an_open_task_without_prompts_doesnt_trouble_the_verifier(config: dict) -> None:
    resolved(config, f"{{study: {{methods: [oracle, cream-oracle], tasks: [siqa, talk]}}, {OPEN_TASK % 0}}}")


def test_an_open_task_that_isnt_picked_doesnt_either(config: dict) -> None:
    resolved(config, f"{{study: {{methods: [oracle]}}, {OPEN_TASK % 4}}}")


def test_an_open_task_is_fine_for_every_other_reward(config: dict) -> None:
    resolved(config, f"{{study: {{methods: [srlm, cream, p-cream, random], tasks: [siqa, talk]}}, {OPEN_TASK % 4}}}")


def test_checking_alone_changes_nothing(config: dict) -> None:
    table = method_table(config, SCHEMA)
    before = copy.deepcopy(table)
    check_methods(table, config)
    assert table == before
    assert config == DEFAULT
