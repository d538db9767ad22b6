"""Win rates through the workflow: who is compared, what runs again, what the tables and the summary say."""

from __future__ import annotations

import pandas as pd
import pytest
from projects import Study

from cream.tables import read_table
from cream.win_rates.tables import ANSWERS, JUDGED

ASKED = "study: {instructions: [everyday], contests: [[cream/M3, srlm/M2]]}\n"
PAIRS = {
    ("cream", 2, "sft M1"),
    ("cream", 3, "sft M1"),
    ("srlm", 2, "sft M1"),
    ("srlm", 3, "sft M1"),
    ("cream", 2, "srlm M2"),
    ("cream", 3, "srlm M3"),
    ("cream", 3, "srlm M2"),
}


@pytest.fixture(scope="module")
def judged(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The finished tiny study with win rates asked for afterwards."""
    study = finished.copy(tmp_path_factory.mktemp("judged") / "project")
    study.change(ASKED)
    planned = study.planned("win_rates")
    assert planned == {"answer_instructions": 5, "judge_answers": 7, "tabulate_win_rates": 1, "win_rates": 1}
    study.run("win_rates", "results/tables/summary.txt")
    return study


def test_every_model_is_held_against_m1_the_baseline_and_what_the_study_names(judged: Study) -> None:
    table = pd.read_csv(judged.folder / "results/tables/win_rates.csv")
    assert {(row.method, row.iteration, row.against) for row in table.itertuples()} == PAIRS
    assert (table["pairs"] == 6).all() and (table["judge"] == "tiny").all()
    assert (table["won"] + table["lost"] + table["tied"] + table["failed"] == table["pairs"]).all()


def test_the_table_is_what_the_verdicts_say(judged: Study) -> None:
    table = pd.read_csv(judged.folder / "results/tables/win_rates.csv").set_index(["method", "iteration", "against"])
    for method, t, against in PAIRS:
        other = against.replace(" ", "-")
        folder = judged.folder / f"results/tiny/seed1/{method}/M{t}"
        verdicts = read_table(folder / f"judged/everyday/{other}.parquet", JUDGED)
        answers = read_table(folder / "answers/everyday.parquet", ANSWERS)
        assert verdicts["ours_characters"].tolist() == answers["text"].map(len).tolist()
        won = ((verdicts["ours_first"] + verdicts["ours_second"]) / 2 > 0.5).sum()
        assert table.loc[(method, t, against), "won"] == won


def test_the_run_ends_with_the_win_rates(judged: Study) -> None:
    summary = (judged.folder / "results/tables/summary.txt").read_text()
    assert "Win rates, judged in both orders by tiny" in summary and "position bias:" in summary
    assert summary.count("against sft M1") == 4


def test_another_template_judges_again_and_answers_nothing_anew(judged: Study, tmp_path) -> None:
    study = judged.copy(tmp_path / "project")
    study.change(ASKED + 'win_rates: {template: "{first} or {second} to {instruction}?"}\n')
    assert study.planned("win_rates") == {"judge_answers": 7, "tabulate_win_rates": 1, "win_rates": 1}


def test_a_changed_set_of_instructions_is_answered_again(judged: Study, tmp_path) -> None:
    study = judged.copy(tmp_path / "project")
    file = study.folder / "studies/instructions.tsv"
    file.write_text(file.read_text(encoding="utf-8").replace("neighbour", "friend"), encoding="utf-8")
    planned = study.planned("win_rates")
    assert planned == {"answer_instructions": 5, "judge_answers": 7, "tabulate_win_rates": 1, "win_rates": 1}


def test_fine_tuning_as_the_baseline_has_no_later_models(finished: Study, tmp_path) -> None:
    study = finished.copy(tmp_path / "project")
    study.change("study: {instructions: [everyday], baseline: sft, contests: [[sft/M1, base/M0]]}")
    assert study.planned("win_rates")["judge_answers"] == 4 + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("study: {instructions: [nosuch]}", "study.instructions names 'nosuch', which instructions doesn't define"),
        ("study: {instructions: [everyday], judge: nobody}", "study.judge names 'nobody', which judges doesn't define"),
        (
            "study: {instructions: [everyday]}\njudges: {local: {model: gone}}",
            "judges.local.model: 'gone' is none of models",
        ),
        ("study: {instructions: [everyday], contests: [[cream/M9, sft/M1]]}", "a model that the study doesn't make"),
        ("study: {instructions: [everyday], contests: [[base/M0, sft/M1]]}", "write [sft/M1, base/M0]"),
        ("study: {instructions: [everyday], contests: [[sft/M1, sft/M1]]}", "names 'sft/M1' against itself"),
        (
            "study: {instructions: [everyday]}\ninstructions: {everyday: {length_control: alpaca_eval}}",
            "length_control: alpaca_eval needs all instructions, no limit",
        ),
        ("study: {instructions: [everyday]}\njudges: {local: {verdict: words}}", "needs max_new_tokens"),
        ('study: {instructions: [everyday]}\nwin_rates: {template: "{first}"}', "must have {instruction} once"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(finished: Study, tmp_path, change: str, said: str) -> None:
    study = finished.copy(tmp_path / "project")
    study.change(change)
    done = study.snakemake("--dry-run")
    assert done.returncode != 0 and said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_contests_of_a_study_without_methods_reach_the_report(finished: Study, tmp_path) -> None:
    """Curves are of methods' models; a single contest of M0 and M1 is told in the tables alone."""
    study = finished.copy(tmp_path / "project")
    study.change("study: {methods: [sft], instructions: [everyday], contests: [[sft/M1, base/M0]]}\n")
    study.run()
    table = pd.read_csv(study.folder / "results/tables/win_rates.csv")
    assert [(row.method, row.against) for row in table.itertuples()] == [("sft", "base M0")]
    page = (study.folder / "results/report/index.html").read_text(encoding="utf-8")
    assert 'id="win-rates"' in page and "draw_charts.py" in page


def test_a_model_card_has_its_win_rates_and_reward_quality(judged: Study, tmp_path) -> None:
    study = judged.copy(tmp_path / "project")
    names = ("tiny-M0", "tiny-M1-sft-seed1", "tiny-M3-cream-seed1")
    study.run(*(f"results/export/models/{name}" for name in names))
    of_m0, of_m1, of_m3 = (
        (study.folder / f"results/export/models/{name}/README.md").read_text(encoding="utf-8") for name in names
    )
    assert of_m3.count("| everyday |") == 3, "against M1, srlm's M3 and, as the study names it, srlm's M2"
    assert "| samples | implicit | accuracy |" in of_m1 and "**As a reward model.**" not in of_m0
    assert "| everyday |" not in of_m0 + of_m1
