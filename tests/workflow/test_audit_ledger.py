"""A study's records, read and put in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import Study

from cream.audit.ledger import Ledger


def test_inputs_come_before_what_was_made_from_them(finished: Study) -> None:
    """Also where a job has several outputs, of which other jobs need the first alone."""
    ledger = Ledger(finished.folder / "results")
    made = [output for record in ledger.in_order for output in record.outputs]
    assert len(made) == len(ledger.maker) > 90
    for record in ledger.in_order:
        inputs = {ledger.artifact(name) for name in record.inputs} & ledger.maker.keys()
        assert inputs <= set(made[: made.index(record.outputs[0])]), record.path


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("outputs", {}),
        ("outputs", {"results/a.csv": {"file": "0"}}),
        ("outputs", {"results/a": {"files": {"b": {"file": "0"}}}}),
        ("parents", {"results/a": "0"}),
        ("code_files", {"scripts/a.py": {}}),
        ("started", "yesterday"),
        ("started", "2026-01-01T00:00:00"),
        ("seconds", "1"),
        ("seconds", float("nan")),
    ],
)
def test_a_record_with_wrong_entries_is_no_record(finished: Study, tmp_path: Path, part: str, wrong: object) -> None:
    results = tmp_path / "results"
    results.mkdir()
    record = json.loads((finished.folder / "results/data/pool/sums.parquet.record.json").read_text())
    (results / "x.record.json").write_text(json.dumps(record | {part: wrong}))
    (problem,) = Ledger(results).problems
    assert problem.what == "results/x.record.json"
    assert problem.said == f"has no proper {part}: it is no whole record of this project"
