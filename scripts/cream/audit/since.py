"""What is another today than when a record was written: code, packages, hardware, the promise itself."""

from __future__ import annotations

from cream.audit.ledger import Record

NAMED = 3  # packages that are named one by one


def changed_since(record: Record, today: dict) -> list[str]:
    """Sentences. Where there are none, a stage's promise must hold. `today`: the record of doing it again."""
    then = record.data
    said = []
    if then["code"] != today["code"]:
        said.append("the stage's code is another today")
    said += _packages(then["packages"], today["packages"])
    if _python(then) != _python(today):
        said.append(f"Python was {_python(then)}, today it is {_python(today)}")
    return said + _hardware(then, today)


def promise_changed(record: Record, today: dict) -> list[str]:
    names = ("determinism", "tolerance")
    if all(record.data.get(name) == today[name] for name in names):
        return []
    return ["the record promises something else than the stage's code does today, by which this is judged"]


def _python(record: dict) -> str:
    return ".".join(str(record.get("python")).split(".")[:2])


def _packages(then: dict, today: dict) -> list[str]:
    apart = [name for name in sorted({*then, *today}) if then.get(name) != today.get(name)]
    if not apart:
        return []
    told = [f"{name} {then.get(name, 'not used')}, today {today.get(name, 'not used')}" for name in apart[:NAMED]]
    more = f" and {len(apart) - NAMED} more" if len(apart) > NAMED else ""
    return [f"packages are others: {'; '.join(told)}{more}"]


def _hardware(then: dict, today: dict) -> list[str]:
    """Processor, system, GPUs and their driver. Cores don't count: how many threads a stage has is a setting."""
    facts = {
        "processor": lambda record: record.get("cpu"),
        "system": lambda record: str(record.get("machine")).partition(",")[0],
        "GPUs": lambda record: [(gpu.get("name"), gpu.get("driver_version")) for gpu in record.get("gpus") or []],
    }
    return [
        f"the hardware is another: {name} {fact(then)}, today {fact(today)}"
        for name, fact in facts.items()
        if fact(then) != fact(today)
    ]
