"""`audit.py reproduce`: a finished study's jobs done again from their records, and what is said where they come out
otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from projects import Study

from cream.contents import artifact_digests
from cream.records import seal

SAME = {"IDENTICAL", "SAME CONTENT"}
M2 = "results/tiny/seed1/cream/M2/model"
SAMPLES = "results/tiny/seed1/sft/M1/samples.parquet"
VERDICTS = "results/tiny/seed1/sft/M1/verdicts.parquet"
LOGPROBS = "results/tiny/seed1/sft/M1/logprobs/M0.parquet"
ANSWERS = "results/tiny/seed1/sft/M1/answers/two.parquet"
POOL = "results/data/pool/sums.parquet"


def reproduced(study: Study, *asked: str, status: int = 0, **environment: str) -> dict[str, dict]:
    """The verdicts by artifact."""
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **environment}  # what Python keeps of imports is no result
    done = study.python("scripts/audit.py", "reproduce", *asked, "--json", **environment)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return {verdict["artifact"]: verdict for verdict in json.loads(done.stdout)["verdicts"]}


def state(folder: Path) -> dict[str, tuple]:
    """Of everything below a folder: kind, time of the last change to the nanosecond, digest."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, path.lstat().st_mtime_ns, digest)
    return found


def record(study: Study, output: str) -> Path:
    return study.folder / f"{output}.record.json"


def edit(path: Path, change: Callable[[dict], object], sealed: bool = True) -> None:
    """Change a record; with a new seal, as somebody does who knows how records are made."""
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps({**told, "seal": seal(told)} if sealed else told, indent=2) + "\n")


def edit_table(path: Path, column: str, row: int, value: object) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path)


def told_as_it_lies(study: Study, owner: str, output: str) -> None:
    """Have a record tell the digests that an output has today."""
    digests = artifact_digests(study.folder / output)
    edit(record(study, owner), lambda told: told["outputs"].update({output: digests}))


def test_a_job_of_every_stage_gives_the_same_again_and_results_stay_untouched(finished: Study, tmp_path: Path) -> None:
    by_stage: dict[str, str] = {}
    for path in sorted((finished.folder / "results").rglob("*.record.json")):
        told = json.loads(path.read_text())
        by_stage.setdefault(told["stage"], next(iter(told["outputs"])))
    before = state(finished.folder)
    saved = tmp_path / "verdicts.json"
    found = reproduced(finished, *by_stage.values(), "--save", str(saved))
    assert state(finished.folder) == before
    assert {verdict["stage"] for verdict in found.values()} == set(by_stage)
    assert len(by_stage) >= 20
    report = found.pop("results/report/index.html")
    assert report["verdict"] in {*SAME, "DIFFERS HARMLESSLY"}
    assert {verdict["verdict"] for verdict in found.values()} <= SAME
    assert all(verdict["kept"] and not verdict["said"] for verdict in found.values())
    kept = json.loads(saved.read_text())
    assert {verdict["artifact"]: verdict for verdict in kept} == {**found, report["artifact"]: report}
    needed = {"artifact", "stage", "verdict", "determinism", "kept", "said", "seconds", "host", "when"}
    assert all(needed <= verdict.keys() for verdict in kept)


def test_verdicts_of_other_artifacts_stay_in_the_file(finished: Study, tmp_path: Path) -> None:
    saved = tmp_path / "verdicts.json"
    saved.write_text(json.dumps([{"artifact": "results/a"}, {"artifact": POOL}]))
    reproduced(finished, POOL, "--save", str(saved))
    kept = {verdict["artifact"]: verdict for verdict in json.loads(saved.read_text())}
    assert list(kept) == ["results/a", POOL]
    assert kept[POOL]["verdict"] == "IDENTICAL"


def test_results_that_moved_are_done_again_where_they_lie(study: Study, tmp_path: Path) -> None:
    moved = tmp_path / "archive" / "study-of-may"
    moved.parent.mkdir()
    (study.folder / "results").rename(moved)
    before = state(moved)
    found = reproduced(study, VERDICTS, str(moved / "tables/summary.txt"), "--results", str(moved))
    assert {verdict["verdict"] for verdict in found.values()} == {"IDENTICAL"}
    assert state(moved) == before
    assert not (study.folder / "results").exists()


def test_an_output_outside_the_project_is_made_again_elsewhere(study: Study, tmp_path: Path) -> None:
    outside = study.folder / "results" / "by-hand.parquet"
    samples, prompts = SAMPLES, "results/tiny/data/prompts/iter1.parquet"
    made = study.python(
        "scripts/verify_responses.py", "--samples", samples, "--prompts", prompts, "--verdicts", str(outside)
    )
    assert made.returncode == 0, made.stderr
    before = state(study.folder)
    assert reproduced(study, str(outside))[str(outside)]["verdict"] == "IDENTICAL"
    assert state(study.folder) == before


def test_what_cannot_be_done_again_is_unverifiable_and_says_why(study: Study) -> None:
    edit_table(study.folder / SAMPLES, "text", 3, "tampered")
    sums = "results/tiny/data/prompts/iter1.parquet"
    (study.folder / "results/tiny/seed1/srlm/iter1/pairs.parquet").unlink()
    with (study.folder / "results/tiny/base/M0/model/config.json").open("a") as file:
        file.write("\n")
    gpu = {"index": "0", "name": "a GPU", "uuid": "GPU-1", "driver_version": "1", "memory.total": "1"}
    edit(record(study, sums), lambda told: told.update(gpus=[gpu]))
    edit(record(study, "results/tiny/data/sft.parquet"), lambda told: told.update(stage="fetch_package"))
    edit(record(study, "results/tiny/data/eval/colours.parquet"), lambda told: told.update(stage="of_another_time"))
    srlm = "results/tiny/seed1/srlm/M2/model"
    sft = "results/tiny/seed1/sft/M1/model"
    asked = {
        VERDICTS: f"{SAMPLES} is not what it was",
        srlm: "its input results/tiny/seed1/srlm/iter1/pairs.parquet is missing",
        sft: "results/tiny/base/M0/model/config.json is not what it was",
        sums: "it ran on 1 GPU, here is none",
        "results/tiny/data/sft.parquet": "an audit asks no network",
        "results/tiny/data/eval/colours.parquet": "this code has no scripts/of_another_time.py",
    }
    found = reproduced(study, *asked, status=1, PATH="")
    for artifact, why in asked.items():
        assert found[artifact]["verdict"] == "UNVERIFIABLE" and found[artifact]["kept"] is None
        assert any(why in sentence for sentence in found[artifact]["said"]), (artifact, found[artifact])
        assert found[artifact]["seconds"] is None


@pytest.mark.parametrize(
    ("flag", "name", "then", "verdict"),
    # Two steps of a small adapter that Adam makes all of one size: β alone leaves it near where it was.
    [("beta", "beta", 0.1, "WITHIN TOLERANCE"), ("learning-rate", "learning_rate", 0.003, "DIVERGED")],
)
def test_a_record_that_tells_of_another_setting_breaks_the_promise(
    flag: str, name: str, then: float, verdict: str, study: Study
) -> None:
    def change(told: dict) -> None:
        told["settings"][name] = 0.9
        told["command"] = [f"--{flag}=0.9" if word == f"--{flag}={then}" else word for word in told["command"]]

    edit(record(study, M2), change)
    found = reproduced(study, M2, status=3)[M2]
    assert (found["verdict"], found["kept"]) == (verdict, False), found["said"]
    said = " ".join(found["said"])
    assert "tensors differ" in said and "beside what training changed" in said
    assert "the job observed something else" in said and "seal" not in said
    assert ("promise C not kept" in said) == (verdict == "WITHIN TOLERANCE")


def test_settings_that_the_command_does_not_make_are_seen(study: Study) -> None:
    edit(record(study, VERDICTS), lambda told: told["settings"].update(samples="results/other.parquet"))
    edit(record(study, POOL), lambda told: told.update(started="2020-01-01T00:00:00Z"), sealed=False)
    found = reproduced(study, VERDICTS, POOL, status=3)
    assert found[VERDICTS]["verdict"] == "DIVERGED"
    assert found[VERDICTS]["said"][0] == (
        f"the recorded command makes samples '{SAMPLES}', the record says 'results/other.parquet': it was edited"
    )
    assert (found[POOL]["verdict"], found[POOL]["kept"]) == ("IDENTICAL", True)
    assert "its seal is broken" in found[POOL]["said"][0]


def test_a_changed_artifact_is_held_against_what_the_record_tells(study: Study) -> None:
    edit_table(study.folder / VERDICTS, "verdict", 5, 0.5)
    found = reproduced(study, VERDICTS, status=3)[VERDICTS]
    assert found["verdict"] == "DIVERGED"
    assert found["said"][0] == "what lies in the results is no longer what its record tells of"
    assert "column 'verdict'" in found["said"][1]
    (study.folder / VERDICTS).unlink()
    found = reproduced(study, VERDICTS)[VERDICTS]
    assert (found["verdict"], found["said"]) == ("IDENTICAL", ["the artifact itself is gone from the results"])


def test_a_tolerance_is_for_other_hardware_alone(study: Study) -> None:
    edit_table(
        study.folder / LOGPROBS,
        "logprob_sum",
        0,
        pq.read_table(study.folder / LOGPROBS)["logprob_sum"][0].as_py() + 0.25,
    )
    told_as_it_lies(study, LOGPROBS, LOGPROBS)
    found = reproduced(study, LOGPROBS, status=3)[LOGPROBS]
    assert (found["verdict"], found["kept"]) == ("WITHIN TOLERANCE", False)
    assert found["said"][0].startswith("promise C not kept")
    edit(record(study, LOGPROBS), lambda told: told.update(cpu="Another Processor"))
    found = reproduced(study, LOGPROBS)[LOGPROBS]
    assert (found["verdict"], found["kept"]) == ("WITHIN TOLERANCE", True)
    assert any("the hardware is another: processor Another Processor" in sentence for sentence in found["said"])
    edit(record(study, LOGPROBS), lambda told: told.update(tolerance={"absolute": 1e9}, packages={"torch": "1.0"}))
    found = reproduced(study, LOGPROBS)[LOGPROBS]
    assert any("packages are others" in sentence for sentence in found["said"])
    assert any("the record promises something else" in sentence for sentence in found["said"])


@pytest.fixture
def by_two(study: Study) -> Study:
    """Samples, scores and answers made by hand in cells of two: the study's own tables are one or two cells."""
    told = json.loads(record(study, SAMPLES).read_text())["command"]
    sampling = [word.replace("samples.parquet", "two.parquet") for word in told]
    told = json.loads(record(study, LOGPROBS).read_text())["command"]
    scoring = [word.replace("samples.parquet", "two.parquet").replace("logprobs/", "two/") for word in told]
    models = ("--model", "results/tiny/seed1/sft/M1/model", "--base", "results/tiny/base/M0/model")
    answering = ["scripts/answer_instructions.py", "--instructions", "studies/instructions.tsv", "--limit=9", *models]
    answering += ["--max-new-tokens=8", "--precision=float32", "--answers", ANSWERS]
    for command in (sampling, scoring, answering):
        words = [w for w in command if not w.startswith("--prompts-per-batch")]
        made = study.python(*words, "--prompts-per-batch=2")
        assert made.returncode == 0, made.stderr
    return study


def test_a_sample_of_prompts_is_the_same_to_the_last_bit(by_two: Study, tmp_path: Path) -> None:
    samples, scores = SAMPLES.replace("samples", "two"), LOGPROBS.replace("logprobs", "two")
    before = state(by_two.folder)
    scratch = tmp_path / "scratch"
    asked = (samples, scores, ANSWERS, "--sample", "3", "--seed", "7")
    found = reproduced(by_two, *asked, "--scratch", str(scratch))
    assert state(by_two.folder) == before
    assert {verdict["verdict"] for verdict in found.values()} <= SAME
    assert found[samples]["sampled"].endswith("of 4, about 4 of 16 prompts")

    (drawn,) = (path for path in scratch.rglob("M1/two.parquet") if not path.is_symlink())
    prompts = set(pq.read_table(drawn)["prompt_id"].to_pylist())
    assert 3 <= len(prompts) < 16
    (other,) = (path for path in scratch.rglob("M0.parquet") if not path.is_symlink())
    assert 3 <= len(set(pq.read_table(other)["prompt_id"].to_pylist())) < 16
    assert found[ANSWERS]["sampled"].startswith("shard ") and "of 9 prompts" in found[ANSWERS]["sampled"]

    everyone = pq.read_table(by_two.folder / samples)["prompt_id"].to_pylist()
    missed, met = (
        next(at for at, name in enumerate(everyone) if (name in prompts) == drawn) for drawn in (False, True)
    )
    original = (by_two.folder / samples).read_bytes()
    for row, verdict, status in ((missed, SAME, 0), (met, {"DIVERGED", "WITHIN TOLERANCE"}, 3)):
        (by_two.folder / samples).write_bytes(original)
        edit_table(by_two.folder / samples, "text", row, "tampered")
        told_as_it_lies(by_two, samples, samples)
        found = reproduced(by_two, samples, *asked[3:], status=status)[samples]
        assert found["verdict"] in verdict
    assert any(f"prompt_id='{everyone[met]}'" in sentence and "'tampered'" in sentence for sentence in found["said"])


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ((), 2, "one of the arguments ARTIFACT --stage --all is required"),
        ((POOL, "--all"), 2, "not allowed with argument ARTIFACT"),
        (
            ("--stage", "build_pool", "--stage", "sampling"),
            1,
            "no record is of a stage 'sampling': those here are of build_pairs, ",
        ),
        (("results/none.parquet",), 1, "no record tells of results/none.parquet"),
        ((POOL, "--sample", "0"), 1, "--sample 0 is no number of prompts"),
        ((POOL, "--scratch", "results/new"), 1, "results/new is inside the results"),
        ((POOL, "--scratch", "scripts"), 1, "scripts is not empty"),
        ((POOL, "--save", "config.yaml"), 1, "config.yaml holds no verdicts"),
    ],
)
def test_mistakes_get_a_sentence(asked: tuple[str, ...], status: int, said: str, finished: Study) -> None:
    done = finished.python("scripts/audit.py", "reproduce", *asked)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr


def test_a_stage_that_fails_today_is_unverifiable(study: Study) -> None:
    edit(record(study, POOL), lambda told: told["command"].append("--kind=odd"))
    found = reproduced(study, POOL, status=1)[POOL]
    assert found["verdict"] == "UNVERIFIABLE"
    assert found["said"][0].startswith("done again it fails: ") and "invalid choice: 'odd'" in found["said"][0]


@pytest.mark.parametrize("wrong", [{"command": ["x", 5]}, {"settings": {}}])
def test_a_record_that_makes_no_sense_is_unverifiable_and_the_rest_is_done(study: Study, wrong: dict) -> None:
    edit(record(study, VERDICTS), lambda told: told.update(wrong))
    found = reproduced(study, VERDICTS, POOL, status=3 if "settings" in wrong else 1)
    assert found[VERDICTS]["verdict"] == ("DIVERGED" if "settings" in wrong else "UNVERIFIABLE")
    assert found[POOL]["verdict"] == "IDENTICAL"
