"""The method table: each row's settings in full, and which recipes can't work."""

from __future__ import annotations

import copy

from cream.errors import UserError
from cream.methods import MODEL_FREE

# Losses that read the weight C, and those that have no place for it.
WEIGHTED_LOSSES = ("cream", "signed", "robust")
PLAIN_LOSSES = ("dpo", "ipo")


def method_table(config: dict, schema: dict) -> dict[str, dict]:
    """Every row of `methods` with all its keys: the schema's defaults, overlaid by its preset's
    settings, overlaid by its own. The row that stops at M1 stays as it is.

    Raises `UserError` for a preset that doesn't exist, stops at M1, or leads back to the row.
    """
    rows = config["methods"]
    defaults = _defaults(schema["properties"]["methods"]["additionalProperties"]["oneOf"][1])
    return {
        name: row if row.get("stop_at_m1") else _overlaid(defaults, _with_preset(name, rows, ()))
        for name, row in rows.items()
    }


def _defaults(shape: dict) -> dict:
    found = {}
    for name, part in shape["properties"].items():
        if "properties" in part:
            found[name] = _defaults(part)
        elif "default" in part:
            found[name] = copy.deepcopy(part["default"])
    return found


def _with_preset(name: str, rows: dict, asked_by: tuple[str, ...]) -> dict:
    row = {key: value for key, value in rows[name].items() if key != "preset"}
    preset = rows[name].get("preset")
    if preset is None:
        return row
    if preset not in rows or rows[preset].get("stop_at_m1"):
        known = ", ".join(other for other in rows if other != name and not rows[other].get("stop_at_m1"))
        raise UserError(f"config: methods.{name}.preset: there is no row {preset!r} to start from; known are {known}")
    if preset == name or preset in asked_by:
        raise UserError(f"config: methods.{name}.preset: {preset!r} starts from {name!r} itself")
    return _overlaid(_with_preset(preset, rows, (*asked_by, name)), row)


def _overlaid(below: dict, above: dict) -> dict:
    merged = copy.deepcopy(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlaid(merged[key], value) if both else copy.deepcopy(value)
    return merged


def check_methods(table: dict[str, dict], config: dict) -> None:
    """Raise `UserError`, naming row and key, for a recipe that contradicts itself (any row) or
    asks for what the study doesn't have (the rows that the study picks)."""
    for name, method in table.items():
        if not method.get("stop_at_m1"):
            _check_ensemble(name, method)
            _check_consistency(name, method)
            _check_loss(name, method)
    for name in config["study"]["methods"]:
        if not table[name].get("stop_at_m1"):
            _check_sources(name, table[name], config)


def _refuse(name: str, key: str, reason: str) -> None:
    raise UserError(f"config: methods.{name}.{key}: {reason}")


def _check_ensemble(name: str, method: dict) -> None:
    aggregate = method["aggregate"]
    several = aggregate["models"] > 1 or bool(aggregate["also"])
    if aggregate["how"] == "single" and several:
        _refuse(name, "aggregate.how", "single has one member: set mean, worst or uwo, or models: 1 and also: []")
    if aggregate["how"] != "single" and not several:
        _refuse(name, "aggregate.how", f"{aggregate['how']} of one member is that member: raise models or add to also")
    if several and method["reward"] in MODEL_FREE:
        _refuse(
            name, "aggregate", f"the reward {method['reward']!r} is no model's own, so there is nothing to aggregate"
        )
    if method["reward"] in aggregate["also"]:
        _refuse(name, "aggregate.also", f"{method['reward']!r} is the reward already")
    if aggregate["also"] and not aggregate["standardise"]:
        _refuse(
            name,
            "aggregate.standardise",
            f"{' and '.join(aggregate['also'])} and {method['reward']} have no common scale: set it to true",
        )


def _check_consistency(name: str, method: dict) -> None:
    consistency = method["consistency"]
    measure, value = consistency["measure"], consistency["value"]
    if measure == "constant" and value is None:
        _refuse(name, "consistency.value", "measure constant needs a value between 0 and 1")
    if measure != "constant" and value is not None:
        _refuse(
            name, "consistency.value", f"only measure constant reads it, and the measure is {measure}: set it to null"
        )
    if measure in ("none", "constant") and consistency["level"] == "prompt":
        _refuse(name, "consistency.level", f"measure {measure} is the same for every prompt: set level: set")
    if measure in ("none", "constant") and consistency["clip"] is not None:
        _refuse(name, "consistency.clip", f"measure {measure} estimates nothing that could be clipped: set it to null")
    if measure == "toporder" and "verifier" in (consistency["against"], method["reward"]):
        _refuse(
            name,
            "consistency.measure",
            "toporder needs a best and a worst response, and the verifier knows only right and wrong: "
            "choose kendall or spearman",
        )
    if consistency["against"] == method["reward"]:
        _refuse(name, "consistency.against", f"the reward is the {method['reward']} too: a ranking agrees with itself")


def _check_loss(name: str, method: dict) -> None:
    measure, loss = method["consistency"]["measure"], method["loss"]["type"]
    if loss in PLAIN_LOSSES and measure != "none":
        _refuse(
            name,
            "loss.type",
            f"{loss} has no place for a consistency weight: set loss.type to one of {', '.join(WEIGHTED_LOSSES)}, "
            "or consistency.measure: none",
        )
    if loss in WEIGHTED_LOSSES and measure == "none":
        _refuse(
            name, "consistency.measure", f"none leaves the loss {loss} without a weight: choose a measure or a constant"
        )


def _check_sources(name: str, method: dict, config: dict) -> None:
    used = {"reward": method["reward"], "consistency.against": method["consistency"]["against"]}
    used |= {f"aggregate.also.{at}": source for at, source in enumerate(method["aggregate"]["also"])}
    for key, source in used.items():
        if source == "reward_model":
            _check_reward_model(name, key, method, config)
        elif source == "verifier":
            _check_verifier(name, key, config)
        elif source == "judge":
            _check_template(name, key, config)


def _check_reward_model(name: str, key: str, method: dict, config: dict) -> None:
    known = ", ".join(config["reward_models"]) or "none yet"
    if "reward_model" not in method:
        _refuse(name, key, f"set methods.{name}.reward_model to a name from reward_models ({known})")
    if method["reward_model"] not in config["reward_models"]:
        _refuse(name, "reward_model", f"reward_models doesn't define {method['reward_model']!r}; known are {known}")


def _check_verifier(name: str, key: str, config: dict) -> None:
    for task in config["study"]["tasks"]:
        settings = config["tasks"][task]
        if settings["kind"] == "open" and settings["prompts"]:
            _refuse(name, key, f"the verifier can't check task {task!r}, whose items have no answers (kind open)")


def _check_template(name: str, key: str, config: dict) -> None:
    missing = [slot for slot in ("{prompt}", "{response}") if slot not in config["judge"]["template"]]
    if missing:
        _refuse(name, key, f"a judge needs judge.template with {' and '.join(missing)} in it")
