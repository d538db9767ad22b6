"""Two runs that differ in one thing are told apart by it: each test changes one thing and makes one artifact again."""

from __future__ import annotations

import importlib.util
import json
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from projects import Study

from cream.records import output_digests, record_text, seal

RUN = "results/tiny/seed1"
PAIRS = f"{RUN}/cream/iter1/pairs.parquet"
MODEL = f"{RUN}/cream/M2/model"


def asked(study: Study, command: str, ours: Path, theirs: Path) -> tuple[int, dict, list[str]]:
    """Exit status, JSON and lines of an answer."""
    done = study.python("scripts/audit.py", command, str(ours), str(theirs), "--json")
    assert not done.stderr
    told = study.python("scripts/audit.py", command, str(ours), str(theirs))
    assert told.returncode == done.returncode
    return done.returncode, json.loads(done.stdout), told.stdout.splitlines()


def explained(ours: Study, theirs: Study, artifact: str, other: str | None = None) -> tuple[dict, list[str]]:
    """Of two artifacts that differ."""
    status, said, lines = asked(ours, "explain", ours.folder / artifact, theirs.folder / (other or artifact))
    assert status == said["status"] == 3
    assert not said["same"]
    return said, lines


def only_cause(said: dict) -> tuple[str, str, str]:
    """Our artifact at which two part, and the one cause: its kind and what is said of it."""
    (parting,) = said["partings"]
    (cause,) = parting["causes"]
    assert said["further"] == []
    return parting["artifacts"][0]["ours"], cause["kind"], cause["said"]


def test_a_seed(finished: Study, study: Study) -> None:
    study.change("study: {seeds: [2]}")
    study.run("results/tiny/seed2/sft/M1/samples.parquet")
    said, lines = explained(
        finished, study, f"{RUN}/sft/M1/samples.parquet", "results/tiny/seed2/sft/M1/samples.parquet"
    )
    # Sampling has a seed of its own, but the models differ before.
    assert only_cause(said) == (f"{RUN}/sft/M1/model", "seed", "seed 1 → 2")
    assert lines[0] == f"They part at {RUN}/sft/M1/model ↔ results/tiny/seed2/sft/M1/model: seed: seed 1 → 2"


def test_beta(finished: Study, study: Study) -> None:
    study.change("methods: {cream: {loss: {beta: 0.2}}}")
    study.run(f"{MODEL}.json")
    said, lines = explained(finished, study, MODEL)
    assert only_cause(said) == (MODEL, "settings", "beta 0.1 → 0.2")
    assert lines[0] == f"They part at {MODEL}: settings: beta 0.1 → 0.2"
    assert said["difference"]["data"]["difference"]["relative"] > 0


def test_the_batch_size(finished: Study, study: Study) -> None:
    study.change("train: {batch_size: 4}")
    study.run(f"{MODEL}.json")
    said, _ = explained(finished, study, MODEL)
    assert only_cause(said) == (MODEL, "settings", "batch_size 8 → 4")


def test_one_prompt(finished: Study, study: Study) -> None:
    file = study.folder / "results/assets/tiny/colours.jsonl"
    rows = file.read_text().splitlines()
    rows[56] = rows[56].replace("Which colour is it?", "What colour is it?")
    file.write_text("\n".join(rows) + "\n")
    pool = "results/data/pool/colours.parquet"
    study.run(pool)
    said, lines = explained(finished, study, pool)
    assert only_cause(said) == (pool, "data", "results/assets/tiny/colours.jsonl is another file")
    number, ours, theirs = said["partings"][0]["causes"][0]["lines"]
    assert number == "line 57:"
    assert "Which colour is it?" in ours and "What colour is it?" in theirs
    assert any("What colour is it?" in line for line in lines)


def test_one_edited_function(finished: Study, study: Study) -> None:
    edit(study, "scripts/cream/pairs.py", '"weight": weight,', '"weight": weight / 2,')
    edit(study, "scripts/cream/disks.py", '"""', '"""Another word: ')
    study.run(PAIRS)
    said, lines = explained(finished, study, PAIRS)
    assert only_cause(said) == (PAIRS, "code", "scripts/cream/pairs.py: _pair")
    shown = [line.strip() for line in lines]
    at = shown.index('-        "weight": weight,')
    assert shown[at + 1] == '+        "weight": weight / 2,'
    assert said["partings"][0]["uncounted"]["code files with other comments alone"] == 1
    assert said["difference"]["data"]["difference"]["columns"].keys() == {"weight"}


def test_a_library_version(finished: Study, study: Study, tmp_path: Path) -> None:
    """A later reasoning-gym: a copy of the installed one, its number changed and the sums it makes."""
    installed = Path(importlib.util.find_spec("reasoning_gym").origin).parent
    copy = tmp_path / "packages" / "reasoning_gym"
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("__pycache__"))
    version = metadata.version("reasoning-gym")
    info = copy.with_name("reasoning_gym-99.0.dist-info")
    shutil.copytree(installed.with_name(f"reasoning_gym-{version}.dist-info"), info)
    facts = (info / "METADATA").read_text()
    assert f"\nVersion: {version}\n" in facts
    (info / "METADATA").write_text(facts.replace(f"\nVersion: {version}\n", "\nVersion: 99.0\n"))
    sums = copy / "arithmetic/chain_sum.py"
    text = sums.read_text()
    assert 'rng.choice(["+", "-"])' in text
    sums.write_text(text.replace('rng.choice(["+", "-"])', 'rng.choice(["-", "+"])'))
    pools = [f"results/data/pool/{task}.parquet" for task in ("colours", "sums")]
    study.run(*pools, PYTHONPATH=str(tmp_path / "packages"))
    said, _ = explained(finished, study, pools[1])
    assert only_cause(said) == (pools[1], "environment", f"reasoning-gym {version} → 99.0")
    # The same version made the same of another task.
    assert said["partings"][0]["causes"][0]["same_in_spite"] == 1


def test_the_first_prompt_and_token_that_differ(finished: Study, study: Study) -> None:
    study.change("sample: {temperature: 1.4}")
    name = f"{RUN}/sft/M1/samples.parquet"
    study.run(name)
    said, _ = explained(finished, study, name)
    assert only_cause(said)[1:] == ("settings", "temperature 0.8 → 1.4")
    ours, theirs = (
        pd.read_parquet(each.folder / name).set_index(["prompt_id", "response_index"])["response_ids"]
        for each in (finished, study)
    )
    row = next(key for key in theirs.index if list(ours[key]) != list(theirs[key]))
    a, b = ours[row], theirs[row]
    token = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    first = next(line for line in said["difference"]["said"] if "first row that differs" in line)
    assert f"prompt_id='{row[0]}', response_index={row[1]}" in first
    assert f"first at position {token} (from 0)" in first


def test_two_methods_of_one_run(finished: Study) -> None:
    said, lines = explained(finished, finished, PAIRS, PAIRS.replace("cream", "srlm"))
    at, kind, cause = only_cause(said)
    assert (at, kind) == (f"{RUN}/cream/iter1/consistency.parquet", "settings")
    assert cause == "measure kendall → none"
    assert lines[0].startswith(f"They part at {at} ↔ {RUN}/srlm/iter1/consistency.parquet: settings: measure")
    assert [pair["ours"] for pair in said["differ"]] == [at, PAIRS]


def test_a_difference_without_effect_elsewhere_is_the_less_likely_cause(finished: Study, study: Study) -> None:
    """Code and a setting were changed. The code made the same pairs of another method."""
    edit(study, "scripts/cream/pairs.py", "len(candidates) < 2", "len(candidates) <= 1")
    study.change("methods: {cream: {pairs: {length_penalty: 0.9}}}")
    study.run(PAIRS, PAIRS.replace("cream", "srlm"))
    said, lines = explained(finished, study, PAIRS)
    (parting,) = said["partings"]
    assert [(cause["kind"], cause["same_in_spite"]) for cause in parting["causes"]] == [("settings", 0), ("code", 1)]
    assert lines[0] == (f"They part at {PAIRS}: settings: length_penalty 0.0 → 0.9 (and 1 more recorded difference)")
    assert any(
        "_reason_to_leave_out (less likely: in spite of it 1 artifact came out the same)" in line for line in lines
    )


@pytest.mark.parametrize(
    ("recorded", "kind", "cause"),
    [
        ({"cpu": "Another CPU"}, "hardware", "→ Another CPU"),
        ({"processes": 2}, "hardware", "processes 1 → 2"),
        ({"gpus": [{"name": "H100", "driver_version": "580", "uuid": "GPU-1"}]}, "hardware", "→ H100 (driver 580)"),
        ({"python": "3.11.1"}, "environment", "→ 3.11.1"),
        ({"host": "elsewhere"}, "none recorded", "are the same"),
    ],
)
def test_what_only_another_machine_would_record(
    finished: Study, study: Study, recorded: dict, kind: str, cause: str
) -> None:
    """As if the pairs had come out otherwise there: another table under a record that says so."""
    change_pairs(study)
    forge(study, PAIRS, recorded)
    said, _ = explained(finished, study, PAIRS)
    at, found, words = only_cause(said)
    assert (at, found) == (PAIRS, kind)
    assert cause in words
    assert said["notes"] == []


def test_an_input_that_was_made_anew(finished: Study, study: Study) -> None:
    """As if their samples had been made anew after the pairs: what the pairs were made from is gone."""
    change_pairs(study)
    record = json.loads((study.folder / f"{PAIRS}.record.json").read_text())
    samples = f"{RUN}/sft/M1/samples.parquet"
    record["inputs"][samples] = record["parents"][samples]["essence"] = "0" * 64
    forge(study, PAIRS, {name: record[name] for name in ("inputs", "parents")})
    said, _ = explained(finished, study, PAIRS)
    assert only_cause(said) == (PAIRS, "data", f"{samples} was made anew after theirs had read it")


def test_text_from_outside_is_shown_harmlessly(finished: Study, study: Study) -> None:
    change_pairs(study)
    forge(study, PAIRS, {"cpu": "Other\x1b[2J\nThey are the same"})
    _, lines = explained(finished, study, PAIRS)
    assert lines[0].endswith("→ Other\\u001b[2J\\nThey are the same")


def test_the_same(finished: Study, study: Study) -> None:
    status, said, lines = asked(study, "explain", finished.folder / MODEL, study.folder / MODEL)
    assert (status, said["same"], said["differ"]) == (0, True, [])
    assert lines == [f"They are the same: {MODEL}"]
    status, said, lines = asked(study, "diff", finished.folder, study.folder / "results")
    assert (status, said["same"], len(lines)) == (0, True, 1)


def test_a_page_that_tells_of_times_may_differ(finished: Study, study: Study) -> None:
    page = "results/report/index.html"
    with (study.folder / page).open("a") as file:
        file.write("<!-- later -->")
    forge(study, page, {"cpu": "Another CPU"})
    status, said, lines = asked(study, "explain", finished.folder / page, study.folder / page)
    assert (status, said["same"], [pair["ours"] for pair in said["may_differ"]]) == (0, True, [page])
    assert lines == [
        f"They differ in nothing that counts: {page}",
        f"{page} differs, as it may: it tells how long the jobs took",
    ]


def test_a_difference_without_any_effect(finished: Study, study: Study) -> None:
    edit(study, "scripts/cream/pairs.py", "len(candidates) < 2", "len(candidates) <= 1")
    study.run(PAIRS)
    status, said, lines = asked(study, "diff", finished.folder, study.folder)
    assert (status, said["differ"]) == (0, [])
    edited = "scripts/cream/pairs.py: _reason_to_leave_out"
    assert said["without_effect"] == [{"kind": "code", "said": edited, "artifacts": 1}]
    assert lines[1:] == [f"Without effect: code: {edited}, at 1 artifact"]


def test_an_artifact_changed_behind_its_record(finished: Study, study: Study) -> None:
    with (study.folder / PAIRS).open("r+b") as file:
        file.write(b"X")
    status, _, lines = asked(study, "explain", finished.folder / PAIRS, study.folder / PAIRS)
    assert status == 3
    assert lines[1] == f"Note: theirs: {PAIRS} isn't what its record says any more: verify it first"


def test_an_edited_record(finished: Study, study: Study) -> None:
    record = study.folder / f"{PAIRS}.record.json"
    record.write_text(record.read_text().replace('"min_margin": 0.0', '"min_margin": 0.5'))
    status, _, lines = asked(study, "explain", finished.folder / PAIRS, study.folder / PAIRS)
    assert status == 3
    assert lines[1] == f"Note: theirs: {PAIRS}.record.json was edited since it was written"


def test_all_of_two_runs(finished: Study, study: Study) -> None:
    study.change("statistics: {resamples: 100}")
    study.run("results/tables/accuracy.csv")
    (study.folder / f"{RUN}/srlm/M3/model.record.json").unlink()
    status, said, lines = asked(study, "diff", finished.folder, study.folder / "results")
    assert status == 3
    assert only_cause(said)[1:] == ("settings", "resamples 200 → 100")
    assert said["only_ours"] == [f"{RUN}/srlm/M3/model"]
    assert said["only_theirs"] == []
    changed = {pair["ours"] for pair in said["differ"]}
    assert said["tables"].keys() == changed
    for table in ("accuracy", "consistency", "iterations"):
        name = f"results/tables/{table}.csv"
        texts = [(each.folder / name).read_text() for each in (finished, study)]
        assert (name in changed) == (texts[0] != texts[1])
    assert (
        lines[0]
        == f"{len(changed)} artifacts differ, {len(said['are_the_same'])} are the same, 1 only ours, 0 only theirs"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (PAIRS, f"{RUN}/cream/iter9/pairs.parquet", "no record tells of"),
        (PAIRS, MODEL, f"{PAIRS} was made by build_pairs, {MODEL} by train_policy: name two artifacts of one kind"),
        (f"{RUN}/sft/M1/logprobs/M0.parquet", f"{RUN}/sft/M1/logprobs/M1.parquet", "were made by one job"),
        (PAIRS, "../foreign/results/pairs.parquet", "holds no records"),
        (PAIRS, "../missing/results/pairs.parquet", "is no folder"),
        (PAIRS, "config.yaml", "lies in no folder named results"),
        ("results/tables/accuracy.csv", "results/tables/iterations.csv", "are different outputs of make_tables"),
    ],
)
def test_what_cannot_be_explained(study: Study, ours: str, theirs: str, sentence: str) -> None:
    foreign = study.folder.parent / "foreign/results"
    foreign.mkdir(parents=True)
    (foreign / "pairs.parquet").write_text("another project's")
    done = study.python("scripts/audit.py", "explain", ours, theirs)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and sentence in line


def test_runs_without_anything_in_common(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "other/results"
    other.mkdir(parents=True)
    record = json.loads((study.folder / f"{PAIRS}.record.json").read_text())
    record["outputs"] = {"results/another.parquet": record["outputs"][PAIRS]}
    (other / "another.parquet.record.json").write_text(json.dumps(record))
    done = study.python("scripts/audit.py", "diff", "results", str(other))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "have no artifact in common" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def edit(study: Study, file: str, old: str, new: str) -> None:
    path = study.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def change_pairs(study: Study) -> None:
    table = pd.read_parquet(study.folder / PAIRS)
    table.assign(weight=np.nextafter(table["weight"], 1)).to_parquet(study.folder / PAIRS)


def forge(study: Study, artifact: str, recorded: dict) -> None:
    """Have the record of an artifact say what it is now, and `recorded`, under a seal that fits."""
    path = study.folder / f"{artifact}.record.json"
    record = json.loads(path.read_text()) | recorded
    record["outputs"] = {artifact: output_digests(study.folder / artifact)}
    path.write_text(record_text(record | {"seal": seal(record)}), encoding="utf-8")
