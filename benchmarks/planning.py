"""What planning a large study costs: the dry run, the start of one job on a cluster, and plan.py itself.

    python benchmarks/planning.py --runs 3

The study has 2 models × 5 seeds × 12 methods × 6 iterations, in a copy of the code where nothing has run. Processor
seconds of the user say more than the clock where other things run beside; all are printed. Nothing of it is
computed: the second model is a name. The start of one job has the same inputs as on a cluster, which are empty.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
CODE = ["Snakefile", "config.yaml", "rules", "scripts", "schemas", "studies", "envs", "report", "slurm"]
LARGE = """\
study:
  models: [smollm2-135m-instruct, second]
  seeds: [1, 2, 3, 4, 5]
  methods: [sft, srlm, cream, cream-dyn, cream-spearman, cream-toporder, rdpo, ipo,
    p-srlm, p-cream, ensemble-mean, oracle]
  iterations: 6
models:
  second: {folder: second/model, parameters: 1000000000}
"""
MODEL = "results/smollm2-135m-instruct"
# What a job on a cluster finds there: Snakemake plans it alone, without the rest of the study.
FILES = ["data/prompts/iter4.parquet", "base/M0/model.json", "seed1/cream/M4/model.json"]
FOLDERS = ["base/M0/model", "seed1/cream/M4/model"]
COMMANDS = {
    "dry run (snakemake -n --quiet)": "-m snakemake -n --quiet --configfile large.yaml",
    "plan.py": "scripts/plan.py large.yaml --width 16",
    "one cluster job until it begins": (
        f"-m snakemake {MODEL}/seed1/cream/M4/samples.parquet -n --quiet --configfile large.yaml"
        " --allowed-rules sample_responses --force --nolock --cores 1"
    ),
}


def make_study(folder: Path) -> None:
    """The code, the study's file, and for one job what it reads, empty."""
    for name in CODE:
        source = PROJECT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    (folder / "large.yaml").write_text(LARGE, encoding="utf-8")
    (folder / "second/model").mkdir(parents=True)


def touch_inputs(folder: Path) -> None:
    for name in FOLDERS:
        (folder / MODEL / name).mkdir(parents=True)
    for name in FILES:
        file = folder / MODEL / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def measure(command: str, folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock, processor seconds of the user, and the peak in MB of one run."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command.split()], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: {command}: {said.decode()[-1000:]}")
    return time.perf_counter() - started, used.ru_utime, used.ru_maxrss / 1024


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--runs", type=int, default=3, help="of each command; the table has the median of all")
    settings = flags.parse_args()
    print("| what | seconds | user seconds | peak MB |", "|---|---|---|---|", sep="\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_study(folder)
        for what, command in COMMANDS.items():
            if "--allowed-rules" in command:
                touch_inputs(folder)
            runs = [measure(command, folder) for _ in range(settings.runs)]
            seconds, user, peak = (median(column) for column in zip(*runs, strict=True))
            print(f"| {what} | {seconds:.1f} | {user:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
