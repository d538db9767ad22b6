"""What every script shares: whole outputs, plain errors, a record. Real scripts, in their own process."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from stage_process import laid_out, ran

from cream import stage
from cream.serving import Serving
from cream.stage import whole_file, whole_folder

SCRIPT = '''"""Copy a text, loudly."""

from cream import stage
from cream.errors import UserError


def main(settings):
    text = settings.text.read_text()
    if settings.fail == "user":
        raise UserError("the text is too quiet: write it louder")
    if settings.fail == "bug":
        raise KeyError("a bug of ours")
    if settings.fail == "disk":
        raise OSError(28, "No space left on device")
    with stage.whole_file(settings.copy) as path:
        path.write_text(text.upper())
    return {"letters": len(text)}


flags = stage.parser(__doc__)
flags.add_argument("--text", type=stage.input_path, required=True, help="text to read")
flags.add_argument("--more", type=stage.input_path, nargs="*", default=[], help="further inputs")
flags.add_argument("--copy", type=stage.output_path, required=True, help="text to write")
flags.add_argument("--notes", type=stage.output_path, help="not written")
flags.add_argument("--fail", default="", help="how to fail")
flags.add_argument("--threads", type=int, default=1)
if __name__ == "__main__":
    stage.run(flags, main, determinism="B")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return laid_out(tmp_path, SCRIPT)


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"copy_text.py", "text.txt"}


def test_a_stage_makes_its_output_and_a_record_beside_it(folder: Path) -> None:
    (folder / "extra.txt").write_text("more")
    done = ran(folder, "--text", "text.txt", "--more", "extra.txt", "--copy", "out/deep/copy.txt", "--threads", "1")
    assert done.returncode == 0, done.stderr
    output = folder / "out/deep/copy.txt"
    assert output.read_text() == "HELLO"
    assert left_in(folder / "out/deep") == {"copy.txt", "copy.txt.record.json"}
    record = json.loads((folder / "out/deep/copy.txt.record.json").read_text())
    assert record["stage"] == "copy_text"
    assert record["inputs"] == {
        "text.txt": hashlib.sha256(b"hello").hexdigest(),
        "extra.txt": hashlib.sha256(b"more").hexdigest(),
    }
    digest = hashlib.sha256(b"HELLO").hexdigest()
    assert record["outputs"] == {"out/deep/copy.txt": {"kind": "file", "bytes": 5, "file": digest, "content": digest}}
    assert record["observed"] == {"letters": 5}
    assert record["determinism"] == "B"
    assert record["settings"]["copy"] == "out/deep/copy.txt"
    assert record["seconds"] >= 0


def test_a_users_mistake_is_one_line_and_exit_1(folder: Path) -> None:
    done = ran(folder, "--text", "text.txt", "--copy", "copy.txt", "--fail", "user")
    assert done.returncode == 1
    assert done.stderr == "error: the text is too quiet: write it louder\n"
    # Neither an output nor a record of a stage that failed.
    assert left_in(folder) == set()


def test_a_full_disk_is_one_line_and_exit_1(folder: Path) -> None:
    done = ran(folder, "--text", "text.txt", "--copy", "copy.txt", "--fail", "disk")
    assert done.returncode == 1
    assert done.stderr == "error: .: No space left on device: make room or mend the disk, then run it again\n"


def test_a_bug_of_ours_keeps_its_traceback(folder: Path) -> None:
    done = ran(folder, "--text", "text.txt", "--copy", "copy.txt", "--fail", "bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug of ours" in done.stderr


def test_a_failed_stage_leaves_the_output_of_an_earlier_run(folder: Path) -> None:
    ran(folder, "--text", "text.txt", "--copy", "copy.txt")
    before = {name: (folder / name).read_bytes() for name in ("copy.txt", "copy.txt.record.json")}
    (folder / "text.txt").write_text("changed")
    assert ran(folder, "--text", "text.txt", "--copy", "copy.txt", "--fail", "user").returncode == 1
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_missing_input_is_named_before_any_work(folder: Path) -> None:
    done = ran(folder, "--text", "nowhere.txt", "--copy", "out/copy.txt")
    assert done.returncode != 0
    assert "--text: nowhere.txt doesn't exist" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert left_in(folder) == set()


@pytest.mark.parametrize("output", ["text.txt/copy.txt", "text.txt/deep/copy.txt"])
def test_an_output_folder_that_cannot_be_is_one_line(folder: Path, output: str) -> None:
    # Below a regular file: rights would not stop root, who may run the tests.
    done = ran(folder, "--text", "text.txt", "--copy", output)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: text.txt")
    assert "choose another folder" in done.stderr
    assert left_in(folder) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_without_rights_is_one_line(folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    done = ran(folder, "--text", "text.txt", "--copy", "locked/copy.txt")
    assert done.returncode == 1
    assert done.stderr == "error: locked is not writable: change its rights or choose another folder\n"


def test_an_output_that_is_never_written_is_one_line(folder: Path) -> None:
    done = ran(folder, "--text", "text.txt", "--copy", "copy.txt", "--notes", "notes.txt")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "notes.txt" in done.stderr


def test_flags_are_never_guessed_from_their_beginning(folder: Path) -> None:
    done = ran(folder, "--tex", "text.txt", "--copy", "copy.txt")
    assert done.returncode == 2
    assert "--text" in done.stderr


def test_help_is_the_docstring(folder: Path) -> None:
    done = ran(folder, "--help")
    assert done.returncode == 0
    assert "Copy a text, loudly." in done.stdout


VLLM = {"deterministic": True, "tensor_parallel": 2, "gpu_memory": 0.5, "cpu_cache_gb": 3}


def test_settings_of_vllm_are_read_from_json() -> None:
    flags = stage.parser("")
    stage.add_run_flags(flags)
    assert flags.parse_args(["--serving", json.dumps(VLLM)]).serving == Serving(True, 2, 0.5, 3)
    assert flags.parse_args([]).serving is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vllm",
        "{",
        "null",
        "[1, 2]",
        "{}",
        json.dumps({**VLLM, "colour": "blue"}),
        json.dumps({name: value for name, value in VLLM.items() if name != "gpu_memory"}),
    ],
)
def test_what_are_no_settings_of_vllm_is_said_clearly(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = stage.parser("")
    stage.add_run_flags(flags)
    with pytest.raises(SystemExit) as stop:
        flags.parse_args([f"--serving={text}"])
    assert stop.value.code == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert f"--serving: {text!r} are no settings of vLLM: " in said


class Stop(BaseException):
    """Not an Exception: like the KeyboardInterrupt of Ctrl-C."""


@pytest.mark.parametrize("kind", [ValueError, Stop])
@pytest.mark.parametrize("existing", [False, True])
def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path, kind: type[BaseException], existing: bool) -> None:
    path = tmp_path / "table.csv"
    if existing:
        path.write_text("old")
    with pytest.raises(kind), whole_file(path) as temporary:
        temporary.write_text("half of the new")
        raise kind
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({"table.csv": "old"} if existing else {})


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole_file(path) as temporary:
        # A rename is only whole within one folder, and some writers go by the ending.
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".csv")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "new")]
    assert path.stat().st_mode & 0o777 == 0o644


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with whole_file(path) as one, whole_file(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() in ("one", "two")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [ValueError, Stop])
@pytest.mark.parametrize("existing", [False, True])
def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path, kind: type[BaseException], existing: bool) -> None:
    path = tmp_path / "model"
    if existing:
        path.mkdir()
        (path / "weights").write_text("old")
    with pytest.raises(kind), whole_folder(path) as temporary:
        (temporary / "weights").write_text("half")
        raise kind
    found = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")}
    assert found == ({"model", "model/weights"} if existing else set())
    if existing:
        assert (path / "weights").read_text() == "old"


def test_a_folder_replaces_the_old_one_altogether(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "stale").write_text("old")
    with whole_folder(path) as temporary:
        (temporary / "weights").write_text("new")
        assert (path / "stale").exists()
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")} == {"model", "model/weights"}
    assert path.stat().st_mode & 0o777 == 0o755
