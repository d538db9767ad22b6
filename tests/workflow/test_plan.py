"""scripts/plan.py on a finished study: Snakemake's own jobs, what they took, and rates that give it back."""

from __future__ import annotations

import re
import shutil
import statistics
from pathlib import Path

import pytest
import yaml
from projects import Study

TINY = "studies/tiny.yaml"


@pytest.fixture(scope="module")
def study(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished.copy(tmp_path_factory.mktemp("plan") / "project")


def plan(study: Study, *arguments: str) -> str:
    done = study.python("scripts/plan.py", TINY, *arguments, COLUMNS="120", PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def rows(table: str) -> dict[str, list[str]]:
    """Cells by stage; the cells have two spaces between them."""
    cells = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    return {stage: numbers for stage, *numbers in cells if numbers}


def test_nothing_is_left_of_a_finished_study_and_all_is_what_snakemake_would_run(study: Study) -> None:
    assert "Nothing is left to do" in plan(study)
    counted = rows(plan(study, "--all", "--width", "2"))
    planned = study.planned("--forceall")
    assert int(counted["all"][0]) == sum(planned.values())
    assert int(counted["sampling"][0]) == planned["sample_responses"]
    assert int(counted["preference training"][0]) == planned["train_policy"]


def test_only_what_is_left_is_counted(study: Study, tmp_path: Path) -> None:
    partly = study.copy(tmp_path / "partly")
    (partly.folder / "results/tables/accuracy.csv").unlink()
    planned, counted = partly.planned(), rows(plan(partly))
    assert planned["make_tables"] == 1 and "evaluate_model" not in planned
    assert int(counted["tables, charts and the rest"][0]) == int(counted["all"][0]) == sum(planned.values())
    assert "evaluation" not in counted


def test_afterwards_everything_is_compared_and_strays_are_counted(study: Study, tmp_path: Path) -> None:
    changed = study.copy(tmp_path / "changed")
    records = sorted((changed.folder / "results").rglob("*.record.json"))
    (changed.folder / "results/tiny/seed1/cream/M3/eval/colours.json.record.json").unlink()
    other = changed.folder / "results/tiny/seed9/sft/M1/samples.parquet.record.json"
    other.parent.mkdir(parents=True)
    other.write_text(
        (changed.folder / "results/tiny/seed1/sft/M1/samples.parquet.record.json").read_text().replace("seed1", "seed9")
    )
    said = plan(changed, "--after")
    # Two records belong to nothing of the plan or to a job without record; every other one is compared.
    assert int(rows(said.split("Held and used")[0])["all"][0]) == len(records) - 1
    assert "1 jobs of the plan left no record and aren't in it: 1 evaluate_model." in said
    assert "1 records belong to no job of the plan and aren't in it: 1 sample_responses." in said
    busy = rows(said.split("Held and used")[1])["all"][3]
    assert 0 < int(busy.removesuffix("%")) <= 110


def test_measured_rates_give_back_what_jobs_took(study: Study) -> None:
    measured = plan(study, "--rates")
    found = yaml.safe_load(measured)["cluster"]
    assert set(found["seconds"]) == {"sft", "sample", "score", "train", "evaluate"}
    assert "Not measured, so as the study has them: compare, judge, reward." in measured
    (study.folder / "rates.yaml").write_text(measured)
    said = study.python("scripts/plan.py", TINY, "rates.yaml", "--after", COLUMNS="120")
    table = rows(said.stdout.split("Held and used")[0])
    ratios = [float(table[stage][-1]) for stage in ("sampling", "scoring", "preference training", "evaluation")]
    # Estimates are whole seconds, rounded up.
    assert 0.7 < statistics.median(ratios) < 1.3, said.stdout


def test_mistakes_get_a_sentence(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(study.folder, folder, ignore=shutil.ignore_patterns("results", ".snakemake"))
    fresh = Study(folder)
    for arguments, words in [
        ([TINY, "--after"], "results/assets/tiny/model"),
        (["--after"], "error: no job of this study has left a record under results/: run it first"),
        (["--rates"], "error: no job of this study that runs a model has left a record under results/"),
        (["config.yaml", "Snakefile"], "error: Snakefile can't be read as settings"),
    ]:
        done = fresh.python("scripts/plan.py", *arguments)
        assert done.returncode == 1, arguments
        assert words in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
