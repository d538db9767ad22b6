"""Which definitions of two versions of a file differ, and which kept text is one to trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from cream.audit.code_changes import changes, source
from cream.digests import file_digest
from cream.errors import UserError

BEFORE = '''"""A module."""

import math

LIMIT = 3


def area(radius):
    """Of a circle."""
    return math.pi * radius**2  # exact


class Shape:
    """Anything."""

    sides: int = 4

    def turned(self):
        return self

    def scaled(self, by):
        return by
'''


@pytest.mark.parametrize(
    ("old", "new", "definitions"),
    [
        ("# exact", "# nearly", []),
        ('"""Of a circle."""', '"""Of a disc."""', []),
        ("math.pi * radius**2", "math.pi*radius**2", []),
        ("radius**2", "radius**3", ["area"]),
        ("LIMIT = 3", "LIMIT = 4", ["top level"]),
        ("return by", "return -by", ["Shape.scaled"]),
        ("sides: int = 4", "sides: int = 5", ["Shape"]),
        ("class Shape:", "class Shape(dict):", ["Shape"]),
        (
            "def turned(self):\n        return self",
            "def moved(self):\n        return self",
            ["Shape.moved", "Shape.turned"],
        ),
        ("def area(radius):", "@staticmethod\ndef area(radius):", ["area"]),
    ],
)
def test_definitions_that_differ(tmp_path: Path, old: str, new: str, definitions: list[str]) -> None:
    assert BEFORE.count(old) == 1
    ours, theirs = written(tmp_path, BEFORE), written(tmp_path, BEFORE.replace(old, new))
    found = changes("scripts/shape.py", ours, theirs)
    assert [change.definition for change in found] == definitions
    assert all(change.diff for change in found)


def test_the_lines_that_differ(tmp_path: Path) -> None:
    ours, theirs = written(tmp_path, BEFORE), written(tmp_path, BEFORE.replace("return by", "return -by"))
    (change,) = changes("scripts/shape.py", ours, theirs)
    assert change.diff == ("     def scaled(self, by):", "-        return by", "+        return -by")


def test_other_files_differ_as_they_stand(tmp_path: Path) -> None:
    ours, theirs = written(tmp_path, "a: 1\n"), written(tmp_path, "a: 2\n")
    (change,) = changes("scripts/cream/harness/choice.yaml", ours, theirs)
    assert change.diff == ("-a: 1", "+a: 2")


def test_a_kept_text_that_is_gone_or_another(tmp_path: Path) -> None:
    digest = file_digest(written(tmp_path, BEFORE))
    with pytest.raises(UserError, match="isn't kept"):
        source(tmp_path, "scripts/shape.py", digest)
    kept = tmp_path / "audit/code" / f"{digest}.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text(BEFORE)
    assert source(tmp_path, "scripts/shape.py", digest) == kept
    kept.write_text(f"{BEFORE}\n")
    with pytest.raises(UserError, match="was changed"):
        source(tmp_path, "scripts/shape.py", digest)


def written(folder: Path, text: str) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.txt"
    path.write_text(text)
    return path
