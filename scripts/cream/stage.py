"""What every script in scripts/ has in common: flags, plain errors, whole outputs, a record."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

from cream.checkpoints import Checkpoints
from cream.disks import disk_trouble
from cream.errors import Stopped, UserError
from cream.kept import Kept, key_of, scratch_path
from cream.lease import DEAD, LOOK, Held, lease
from cream.phases import phase
from cream.processes import is_main_process, process_count
from cream.promises import Promise, Tolerance
from cream.records import check_inputs, manifest_path, recipe, record_path, was_made, write_record

UNFINISHED = "new-"  # in the temporary names of outputs that are being written


class InputPath(type(Path())):
    """A path given on the command line that the stage reads."""


class OutputPath(type(Path())):
    """A path given on the command line that the stage makes."""


def input_path(text: str) -> InputPath:
    path = InputPath(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} doesn't exist: make it first or correct the path")
    return path


def output_path(text: str) -> OutputPath:
    return OutputPath(text)


def shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard: write 2/5 for the second of five")
    return int(number), int(count)


def serving_settings(text: str):
    from cream.serving import Serving

    try:
        return Serving(**json.loads(text))
    except (ValueError, TypeError) as problem:
        raise argparse.ArgumentTypeError(f"{text!r} are no settings of vLLM: {problem}") from problem


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's own docstring."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def add_run_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of every stage that runs a model."""
    flags.add_argument("--engine", choices=["transformers", "vllm"], default="transformers", help="what runs the model")
    flags.add_argument("--serving", type=serving_settings, help="vllm: its settings as JSON (compute.vllm)")
    flags.add_argument("--precision", default="bfloat16", help="dtype of the forward pass: bfloat16 or float32")
    flags.add_argument("--threads", type=int, default=1, help="CPU threads of the computation")
    flags.add_argument("--gpus", type=int, help="under SLURM: GPUs that this job was promised")


def add_shard_flag(flags: argparse.ArgumentParser) -> None:
    """The flag of every stage whose prompts may be shared out to several jobs."""
    flags.add_argument("--shard", type=shard, default=(1, 1), help="I/N: only this part of the prompts (all)")


def add_decoding_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of every stage that samples text from a model, with a seed for each text."""
    flags.add_argument("--temperature", type=float, required=True, help="softmax temperature")
    flags.add_argument("--top-p", type=float, required=True, help="nucleus mass")
    flags.add_argument("--max-new-tokens", type=int, required=True, help="token limit of a text")
    flags.add_argument("--prompts-per-batch", type=int, required=True, help="prompts sampled together")
    flags.add_argument("--seed", type=int, required=True, help="run seed")
    flags.add_argument("--iteration", type=int, required=True, help="t")


def add_optimisation_flags(flags: argparse.ArgumentParser) -> None:
    """The flags that both kinds of training share."""
    flags.add_argument("--learning-rate", type=float, required=True, help="peak learning rate")
    flags.add_argument("--epochs", type=float, required=True, help="passes over the examples")
    flags.add_argument("--batch-size", type=int, required=True, help="examples per optimiser step")
    flags.add_argument("--micro-batch-size", type=int, required=True, help="examples per forward pass")
    flags.add_argument("--warmup-ratio", type=float, required=True, help="share of steps that warm up")
    flags.add_argument("--weight-decay", type=float, required=True, help="AdamW's weight decay")
    flags.add_argument("--max-grad-norm", type=float, required=True, help="gradient clipping")
    flags.add_argument("--seed", type=int, required=True, help="seed of data order and initialisation")
    flags.add_argument("--lora-rank", type=int, required=True, help="0 trains all parameters")
    flags.add_argument("--lora-alpha", type=float, required=True, help="LoRA scale numerator")
    flags.add_argument("--lora-dropout", type=float, required=True, help="dropout on the LoRA path")


def run(
    flags: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], dict | None],
    determinism: str,
    tolerance: Tolerance | None = None,
) -> None:
    """Run a stage: parse, work, record. Exits 1 with one sentence on a user's mistake.

    `main` may return a mapping of what it observed, which goes into the record.
    `determinism` and `tolerance` are the stage's promise (promises.py).
    """
    settings = flags.parse_args()
    _prepare_process(settings)
    outputs = _outputs(settings)
    started = time.time()
    try:
        for output in outputs:
            _make_parent(output)
        if is_main_process():
            with phase("record"):
                check_inputs(settings)
        _check_gpus(settings)
        with _alone(settings, outputs) as made_by_twin:
            if not made_by_twin:
                continued = _unfinished_work(outputs)
                observed = main(settings) or {}
                if is_main_process():
                    _date_after_inputs(settings, outputs)
                    write_record(settings, started, Promise(determinism, tolerance), {**continued, **observed})
                    _forget_unfinished(outputs)
    except UserError as mistake:
        sys.exit(f"error: {mistake}" if is_main_process() else 1)
    except Stopped:
        print("error: asked to end (SIGTERM): run it again and it goes on from what it had finished", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except Exception as problem:
        sys.exit(f"error: {_sentence_about(problem, outputs)}")


def _sentence_about(problem: Exception, outputs: list[OutputPath]) -> str:
    """What the system has against it. A bug of ours is raised again, for its traceback."""
    reason = disk_trouble(problem)
    if reason:
        place = getattr(problem, "filename", None) or (outputs[0].parent if outputs else "the disk")
        return f"{place}: {reason}: make room or mend the disk, then run it again"
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}"
    raise problem


@contextlib.contextmanager
def _alone(settings: argparse.Namespace, outputs: list[OutputPath]) -> Iterator[bool]:
    """While no other process makes the same output; whether one has just made it while this one waited.

    A Snakemake that was killed leaves its jobs running, for hours where they train a model.
    """
    if not outputs or not is_main_process():
        yield False
        return
    waited = []
    path = _beside_kept(outputs[0], "lease")

    def wait(holder: str) -> None:
        print(f"waiting for {holder}, which makes {outputs[0]}", flush=True)
        waited.append(holder)

    # The other processes of a job wait for this one at their first common step, but not for ever: here only until
    # it is sure that the holder lives.
    with _or_mistake(outputs), lease(path, wait, patience=inf if process_count() == 1 else DEAD + 2 * LOOK):
        _remove_torn(outputs)
        made = bool(waited) and was_made(settings, outputs)
        if made:
            print(f"{outputs[0]} was made by {waited[0]}: nothing left to do", flush=True)
        yield made


@contextlib.contextmanager
def _or_mistake(outputs: list[OutputPath]) -> Iterator[None]:
    try:
        yield
    except Held as holder:
        raise UserError(f"{outputs[0]} is being made by {holder}: wait until that job ends, or cancel it") from None


def _remove_torn(outputs: list[OutputPath]) -> None:
    """What a killed job was writing, under temporary names. Only the holder of the lease may."""
    for output in outputs:
        for name in (output.name, record_path(output).name, manifest_path(output).name):
            for torn in output.parent.glob(f".{name}.{UNFINISHED}*"):
                shutil.rmtree(torn) if torn.is_dir() else torn.unlink()


def _unfinished_work(outputs: list[OutputPath]) -> dict:
    """For the record, whose times are of this try alone."""
    found = any(_beside_kept(output, kind).exists() for output in outputs for kind in ("jsonl", "checkpoints"))
    return {"continues_an_earlier_try": True} if found else {}


def _check_gpus(settings: argparse.Namespace) -> None:
    promised = getattr(settings, "gpus", None)
    if promised is None or "SLURM_JOB_ID" not in os.environ:
        return
    # By name: imported plainly, torch would count among the packages of stages that never see it (fingerprint.py).
    found = importlib.import_module("torch").cuda.device_count()
    if found != promised:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        fix = "correct gpu_request and gpu_partition in slurm/profile.yaml, or compute.processes and compute.vllm"
        if found > promised:
            fix += "; inside an allocation of your own, set CUDA_VISIBLE_DEVICES"
        raise UserError(
            f"this job was promised {promised} GPUs and finds {found} (CUDA_VISIBLE_DEVICES: {visible}): {fix}"
        )


def _date_after_inputs(settings: argparse.Namespace, outputs: list[OutputPath]) -> None:
    """An output is never dated before an input, whatever the clocks of the machines that wrote them say:
    Snakemake would take it for outdated."""
    inputs = [item for value in vars(settings).values() for item in (value if isinstance(value, list) else [value])]
    newest = max((path.stat().st_mtime_ns for path in inputs if isinstance(path, InputPath)), default=0)
    for path in (path for output in outputs for path in (output, manifest_path(output))):
        if path.exists() and path.stat().st_mtime_ns < newest:
            os.utime(path, ns=(newest, newest))


def kept(settings: argparse.Namespace) -> Kept:
    """What an earlier try of this very job has finished, and where this one keeps its own: nowhere, where a
    test calls the stage's work without the command line."""
    outputs = _outputs(settings)
    return Kept(_beside_kept(outputs[0], "jsonl"), key_of(recipe(settings))) if outputs else Kept()


def checkpoints(settings: argparse.Namespace) -> Checkpoints:
    """What an earlier try of this very training has saved, and where this one saves its own."""
    outputs = _outputs(settings)
    if not outputs:
        return Checkpoints()
    return Checkpoints(_beside_kept(outputs[0], "checkpoints"), key_of(recipe(settings)))


def _beside_kept(output: Path, kind: str) -> Path:
    path = scratch_path(output)
    return path.with_name(f"{path.name}.{kind}")


def _outputs(settings: argparse.Namespace) -> list[OutputPath]:
    found = [value if isinstance(value, list) else [value] for value in vars(settings).values()]
    return [item for items in found for item in items if isinstance(item, OutputPath)]


def _forget_unfinished(outputs: list[OutputPath]) -> None:
    for output in outputs:
        _beside_kept(output, "jsonl").unlink(missing_ok=True)
        shutil.rmtree(_beside_kept(output, "checkpoints"), ignore_errors=True)


def _stop(*_: object) -> None:
    raise Stopped


def _prepare_process(settings: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, _stop)
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_DATASETS_OFFLINE="1",
        TOKENIZERS_PARALLELISM="false",
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
    )
    threads = getattr(settings, "threads", None)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)


def _make_parent(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"{output.parent} can't be made ({problem.strerror}): choose another folder") from problem
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"{output.parent} is not writable: change its rights or choose another folder")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it only when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{UNFINISHED}", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to it only when the block ends well, and only by
    the main process of a job."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.{UNFINISHED}"))
    try:
        yield temporary
        if not is_main_process():
            return
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
