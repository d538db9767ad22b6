"""Artifacts by what their records say: a digest, a setting, a package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from cream.audit.ledger import Ledger, Record
from cream.audit.telling import part
from cream.errors import UserError

Pair = tuple[str, str]


@dataclass(frozen=True)
class Hit:
    """`artifact` fits, for the reasons in `because`."""

    artifact: str
    stage: str
    because: list[str]


def find(ledger: Ledger, digest: str | None, settings: list[Pair], packages: list[Pair]) -> list[Hit]:
    """Artifacts whose records fit everything asked for, in the order of making."""
    _check_names(ledger, "setting", settings, lambda record: set(_flat(record.data["settings"])))
    _check_names(ledger, "package", packages, lambda record: set(record.data["packages"]))
    return [
        Hit(output, record.stage, reasons)
        for record in ledger.in_order
        if _has(record, settings, packages)
        for output in record.outputs
        if (reasons := list(_with_digest(record, output, digest)) if digest else _told(settings, packages))
    ]


def _told(settings: list[Pair], packages: list[Pair]) -> list[str]:
    return [f"{name}={value}" for name, value in (*settings, *packages)]


def _has(record: Record, settings: list[Pair], packages: list[Pair]) -> bool:
    given, installed = _flat(record.data["settings"]), record.data["packages"]
    return all(name in given and _same(given[name], value) for name, value in settings) and all(
        _version(installed.get(name), version) for name, version in packages
    )


def _same(recorded: object, asked: str) -> bool:
    """Whether a setting is what was asked for: as JSON (0.10 is 0.1, true is true), else as text."""
    try:
        return recorded == json.loads(asked) or str(recorded) == asked
    except ValueError:
        return str(recorded) == asked


def _version(installed: object, asked: str) -> bool:
    """A version fits with and without its local part: 2.13.0+cpu is 2.13.0."""
    return isinstance(installed, str) and asked in (installed, installed.partition("+")[0])


def _flat(settings: dict, above: str = "") -> dict[str, object]:
    """Settings by name, those inside others as `outer.inner`; JSON given as text is read."""
    found = {}
    for name, value in settings.items():
        found[f"{above}{name}"] = value
        inner = value
        if isinstance(value, str) and value.startswith("{"):
            try:
                inner = json.loads(value)
            except ValueError:
                continue
        if isinstance(inner, dict):
            found |= _flat(inner, f"{above}{name}.")
    return found


def _with_digest(record: Record, output: str, prefix: str) -> Iterator[str]:
    """Why a digest that begins so leads to an output: it is the output's, its record's, its code's or an input's."""
    told = {
        "record": record.digest,
        "essence": record.essence,
        "code": record.data["code"],
        "seal": record.data["seal"],
    }
    told |= {"lock": part(record, "lock").get("sha256"), **_of_output(record.data["outputs"][output])}
    told |= {f"code file {name}": digest for name, digest in record.data["code_files"].items()}
    for name, digest in record.data["inputs"].items():
        each = digest if isinstance(digest, dict) else {"": digest}
        told |= {f"input {name} {what}".rstrip(): value for what, value in each.items()}
    return (what for what, digest in told.items() if isinstance(digest, str) and digest.startswith(prefix))


def _of_output(digests: dict) -> dict[str, object]:
    files = digests.get("files")
    if not isinstance(files, dict):
        return {"file": digests.get("file"), "content": digests.get("content")}
    inside = {
        f"{kind} of {name}": each.get(kind) for name, each in files.items() for kind in ("file", "content") if each
    }
    return {"manifest": digests.get("manifest"), **inside}


def _check_names(ledger: Ledger, kind: str, asked: list[Pair], names: Callable[[Record], set[str]]) -> None:
    """Raise `UserError` for a name that no record knows, with the nearest that one does."""
    known = set().union(*map(names, ledger.records)) if asked else set()
    for name, _ in asked:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=3)
            raise UserError(
                f"no record knows a {kind} {name}" + (f": do you mean {' or '.join(near)}?" if near else "")
            )
