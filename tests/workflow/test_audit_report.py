"""What the audit shows of a finished study: the page that the run leaves, the checklist, the lineage of the report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

from projects import Study

PAGE = "results/report/audit.html"


def records(study: Study) -> dict[str, dict]:
    """By path."""
    return {
        str(path.relative_to(study.folder)): json.loads(path.read_text())
        for path in study.folder.glob("results/**/*.record.json")
    }


def test_the_run_leaves_a_page_on_which_everything_is_sound(finished: Study) -> None:
    page = (finished.folder / PAGE).read_text()
    count = sum(len(record["outputs"]) for record in records(finished).values())
    assert f"{count} artifacts held against their records: {count} sound, 0 differ, 0 unchecked; none made" in page
    assert not (finished.folder / f"{PAGE}.record.json").exists(), "an audit is no result"
    assert 'href="audit.html"' in (finished.folder / "results/report/index.html").read_text()
    assert set(re.findall(r'<tr data-artifact="([^"]*)"', page)) == {
        output for record in records(finished).values() for output in record["outputs"]
    }


def test_the_page_is_made_again_for_a_saved_verdict(study: Study) -> None:
    assert study.planned() == {}
    pool = "results/data/pool/colours.parquet"
    saved = study.python("scripts/audit.py", "reproduce", pool, "--save", "results/audit/reproduced.json")
    assert saved.returncode == 0, saved.stderr
    assert study.planned() == {"audit_page": 1}
    study.run("audit")
    page = (study.folder / PAGE).read_text()
    assert "1 made again, 0 of them not as promised" in page and "IDENTICAL, as promised" in page
    assert study.planned() == {}


def test_the_lineage_of_the_report_is_every_job_below_it(finished: Study, tmp_path: Path) -> None:
    report = "results/report/index.html"
    picture = tmp_path / "lineage.svg"
    done = finished.python("scripts/audit.py", "lineage", report, "--svg", str(picture))
    assert done.returncode == 0, done.stderr
    titles = [each.text or "" for each in ElementTree.parse(picture).iter() if each.tag.endswith("title")]
    drawn = {line for title in titles for line in title.split("\n")}
    made = {output: record for record in records(finished).values() for output in record["outputs"]}
    below, waiting = set(), [report]
    while waiting:
        artifact = waiting.pop()
        if artifact in made and artifact not in below:
            below.add(artifact)
            waiting += [
                name.removesuffix(".json") if name.endswith("model.json") else name for name in made[artifact]["inputs"]
            ]
    assert len(below) > 50 and below <= drawn
    assert done.stdout.startswith(f"{picture}: ")


def test_the_checklist_has_the_splits_and_the_runs(finished: Study) -> None:
    done = finished.python("scripts/audit.py", "checklist")
    assert done.returncode == 0, done.stderr
    with (finished.folder / "results/tables/splits/tiny.csv").open() as file:
        for row in csv.DictReader(file):
            assert f"| {row['split']} | {row['task']} | {row['items']} |" in done.stdout.replace("\\", "")
    assert "Prompts in more than one split: 0." in done.stdout
    assert "| tiny | cream | M3 | 1 | 1 |" in done.stdout
    assert "| train\\_policy | learning\\_rate | 0.003 |" in done.stdout
    assert "as recorded" in done.stdout
