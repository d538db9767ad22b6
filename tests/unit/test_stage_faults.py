"""What every stage does about a twin, a damaged input, SIGTERM, clocks that differ and GPUs that are missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from stage_process import laid_out, started

from cream.records import write_manifest

Fault = Callable[..., object]
SCRIPT = '''"""Copy a text, slowly."""

import time

from cream import lease, stage

lease.LOOK = 0.1
stage.DEAD = 3.0


def main(settings):
    print("working", flush=True)
    time.sleep(settings.seconds)
    with stage.whole_file(settings.copy) as path:
        path.write_text(settings.text.read_text().upper())
    if settings.second:
        settings.second.write_text("SECOND")


flags = stage.parser(__doc__)
flags.add_argument("--text", type=stage.input_path, required=True, help="text to read")
flags.add_argument("--model", type=stage.input_path, help="a model folder")
flags.add_argument("--copy", type=stage.output_path, required=True, help="text to write")
flags.add_argument("--second", type=stage.output_path, help="text to write, too")
flags.add_argument("--seconds", type=float, default=0, help="to take")
stage.add_run_flags(flags)
if __name__ == "__main__":
    stage.run(flags, main, determinism="B")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return laid_out(tmp_path, SCRIPT)


def start(folder: Path, *flags: object, **environment: str) -> subprocess.Popen[str]:
    return started(folder, "--text=text.txt", "--copy=results/copy.txt", *flags, **environment)


def end(process: subprocess.Popen[str], expected: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, out + err
    return out, err


def begun(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout.readline() == "working\n", process.stderr.read()
    return process


def record(folder: Path, name: str = "results/copy.txt") -> dict:
    return json.loads((folder / f"{name}.record.json").read_text())


def files_in(folder: Path) -> list[str]:
    """What lies in results/, but for the code kept there."""
    found = (path.relative_to(folder) for path in (folder / "results").rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[1] != "audit")


MADE = ["results/copy.txt", "results/copy.txt.record.json"]

# --- A live twin ---


def test_a_job_waits_for_its_twin_and_computes_nothing(folder: Path) -> None:
    twin = begun(start(folder, "--seconds=4"))
    out, _ = end(start(folder, "--seconds=4"))
    assert f"waiting for process {twin.pid} of " in out and "which makes results/copy.txt" in out
    assert "nothing left to do" in out and "working" not in out
    end(twin)
    assert files_in(folder) == MADE


def test_a_twin_with_other_settings_is_waited_for_but_not_believed(folder: Path) -> None:
    twin = begun(start(folder, "--seconds=4"))
    out, _ = end(start(folder, "--seconds=0"))
    end(twin)
    assert "waiting for process" in out and "working" in out
    assert record(folder)["settings"]["seconds"] == 0


def test_a_killed_twin_is_replaced(folder: Path) -> None:
    twin = begun(start(folder, "--seconds=60"))
    waiting = start(folder)
    assert waiting.stdout.readline().startswith("waiting for process")
    os.kill(twin.pid, signal.SIGKILL)
    end(twin, -signal.SIGKILL)
    assert "working" in end(waiting)[0]
    assert files_in(folder) == MADE


def test_one_of_several_processes_waits_only_until_it_is_sure(folder: Path) -> None:
    twin = begun(start(folder, "--seconds=60"))
    _, err = end(start(folder, WORLD_SIZE="2", RANK="0"), 1)
    assert err.startswith("error: results/copy.txt is being made by process")
    assert "wait until that job ends, or cancel it" in err
    twin.kill()
    twin.wait()


# --- Kills ---


def test_sigterm_ends_with_one_sentence_and_leaves_nothing_half_done(folder: Path) -> None:
    job = begun(start(folder, "--seconds=60"))
    os.kill(job.pid, signal.SIGTERM)
    _, err = end(job, 128 + signal.SIGTERM)
    assert err == "error: asked to end (SIGTERM): run it again and it goes on from what it had finished\n"
    assert files_in(folder) == []


def test_what_a_killed_job_was_writing_is_removed_by_the_next(folder: Path) -> None:
    (folder / "results/.copy.txt.new-abc").mkdir(parents=True)
    (folder / "results/.copy.txt.record.json.new-abc.json").touch()
    # These are being written by others, whose names begin alike.
    others = ["results/.copy.txt0.new-abc", "results/.other.txt.new-abc"]
    for name in others:
        (folder / name).touch()
    end(start(folder))
    assert files_in(folder) == [*others, *MADE]


# --- Damaged inputs ---


@pytest.mark.parametrize("damage", [b"HELL", b"HELLP", b""])
def test_an_input_that_is_not_what_was_made_is_named(folder: Path, damage: bytes, fault: Fault) -> None:
    with fault(
        "corrupt table",
        "a table cut short, changed by a byte, emptied",
        "its reader stopped before any work and named it; made again, it was read",
    ):
        end(start(folder))
        (folder / "results/copy.txt").write_bytes(damage)
        words = ["--text=results/copy.txt", "--copy=results/again.txt"]
        _, err = end(start(folder, *words), 1)
        assert err.startswith(
            "error: results/copy.txt is not what it was when it was made (changed or cut short): delete"
        )
        assert err.count("\n") == 1 and not (folder / "results/again.txt").exists()
        (folder / "results/copy.txt").write_bytes(b"HELLO")
        end(start(folder, *words))


def test_a_jobs_second_output_is_checked_too(folder: Path) -> None:
    end(start(folder, "--second=results/second.txt"))
    words = ["--text=results/second.txt", "--copy=results/again.txt"]
    end(start(folder, *words))
    (folder / "results/second.txt").write_text("second")
    _, err = end(start(folder, *words), 1)
    assert err.startswith("error: results/second.txt is not what it was when it was made")


def model(folder: Path) -> Path:
    """A model folder with its manifest beside it."""
    made = folder / "results/model"
    made.mkdir(parents=True)
    save_file({"weight": torch.arange(6.0)}, made / "model.safetensors")
    (made / "config.json").write_text("{}")
    write_manifest(made)
    return made


@pytest.mark.parametrize("damage", ["bit", "cut", "header", "empty", "gone", "more", "config", "manifest"])
def test_a_damaged_model_is_named_by_its_file(folder: Path, damage: str, fault: Fault) -> None:
    with fault(
        "corrupt model",
        "weights with a bit flipped, cut short, emptied or gone; a broken header, a foreign file, a changed setting",
        "its reader stopped before any work and named the file",
    ):
        made = model(folder)
        weights = made / "model.safetensors"
        whole, named = weights.read_bytes(), weights
        if damage == "bit":
            weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        elif damage == "cut":
            weights.write_bytes(whole[:-4])
            named = made
        elif damage == "header":
            weights.write_bytes(b"\xff" * 8 + whole[8:])
            named = made
        elif damage == "empty":
            weights.write_bytes(b"")
            named = made
        elif damage == "gone":
            weights.unlink()
        elif damage == "more":
            (made / "added.json").touch()
            _, err = end(start(folder, "--model=results/model"), 1)
            assert err == "error: results/model/added.json was added to a model that was made without it: remove it\n"
            return
        elif damage == "config":
            named = made / "config.json"
            named.write_text("{ }")
        else:
            (folder / "results/model.json").write_text("{")
            named = made
        _, err = end(start(folder, "--model=results/model"), 1)
        assert err.startswith(f"error: {named.relative_to(folder)} is not what it was when it was made"), err
        assert err.count("\n") == 1


# --- Clocks ---


def test_an_output_is_never_older_than_its_inputs(folder: Path, fault: Fault) -> None:
    """The text was written by a machine whose clock is an hour ahead."""
    with fault(
        "clock skew",
        "an input dated an hour ahead",
        "the output is dated no earlier, so Snakemake takes it for current",
    ):
        ahead = time.time() + 3600
        os.utime(folder / "text.txt", (ahead, ahead))
        end(start(folder))
        dated = (folder / "results/copy.txt").stat().st_mtime_ns
        assert dated == (folder / "text.txt").stat().st_mtime_ns


def test_the_date_of_an_output_is_its_own_where_clocks_agree(folder: Path) -> None:
    before = time.time()
    end(start(folder))
    assert (folder / "results/copy.txt").stat().st_mtime >= before - 1


# --- GPUs ---


@pytest.mark.skipif(torch.cuda.is_available(), reason="here are GPUs")
def test_a_job_without_its_gpus_stops_at_once(folder: Path, fault: Fault) -> None:
    with fault(
        "GPUs missing",
        "2 promised, none found",
        "stopped at once, with what it found and where to correct it",
    ):
        _, err = end(start(folder, "--gpus=2", SLURM_JOB_ID="1", CUDA_VISIBLE_DEVICES="0,1"), 1)
        assert err.startswith(
            "error: this job was promised 2 GPUs and finds 0 (CUDA_VISIBLE_DEVICES: 0,1): correct gpu"
        )
        assert files_in(folder) == []
        # Started by hand, a machine may have more than the job needs.
        end(start(folder, "--gpus=2"))
