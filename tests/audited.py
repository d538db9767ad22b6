"""A small study with real records: nine jobs of a made-up stage, which joins texts, under real stages' names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# What a page, a terminal, Graphviz or a table might fall for.
HOSTILE = (
    "</script><script>window.owned = true</script><img src=x onerror='window.owned = true'> \"q\" \\ | \x1b[31mred"
)
STAGE = '''"""Put texts together."""

from cream import stage
from cream.records import write_manifest


def main(settings):
    texts = [(path / "weights.txt" if path.is_dir() else path).read_text() for path in settings.read]
    text = "".join(texts) + f"{settings.beta}\\n"
    for made in settings.made:
        if made.suffix:
            with stage.whole_file(made) as path:
                path.write_text(text)
        else:
            with stage.whole_folder(made) as folder:
                (folder / "weights.txt").write_text(text)
            write_manifest(made)
    return {"letters": len(text), "steps": list(range(9))}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--read", type=stage.input_path, nargs="*", default=[])
    flags.add_argument("--beta", type=float)
    flags.add_argument("--note")
    flags.add_argument("--loss")
    flags.add_argument("--seed", type=int)
    flags.add_argument("--made", type=stage.output_path, nargs="+", required=True)
    stage.run(flags, main, determinism="C" if "train" in __file__ else "B")
'''
POOL, M0, M1 = "results/data/pool/toy.txt", "results/toy/base/M0/model", "results/toy/seed1/sft/M1/model"
TABLES = ["results/tables/accuracy.csv", "results/tables/consistency.csv"]
TRAINED = {method: f"results/toy/seed1/{method}/M2/model" for method in ("srlm", "cream")}


def evaluation(model: str) -> str:
    return f"{model.removesuffix('/model')}/eval/toy.txt"


# Stage, its inputs, its outputs, its settings.
JOBS: list[tuple[str, list[str], list[str], dict[str, object]]] = [
    ("build_pool", ["questions.txt"], [POOL], {"seed": 7}),
    ("convert_model", [], [M0], {}),
    ("train_sft", [POOL, f"{M0}.json", M0], [M1], {"seed": 1}),
    ("train_policy", [POOL, M1], [TRAINED["srlm"]], {"seed": 1, "beta": 0.1, "loss": '{"type": "dpo", "beta": 0.1}'}),
    ("train_policy", [POOL, M1], [TRAINED["cream"]], {"seed": 1, "beta": 0.25, "note": HOSTILE}),
    *(("evaluate_model", [model], [evaluation(model)], {}) for model in (M1, *TRAINED.values())),
    ("make_tables", [evaluation(model) for model in (M1, *TRAINED.values())], TABLES, {}),
]


def make(folder: Path) -> Path:
    """Run the jobs in a folder; its results."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "questions.txt").write_text("why?\n")
    for stage, read, made, settings in JOBS:
        run(folder, stage, read, made, settings)
    return folder / "results"


def run(folder: Path, stage: str, read: list[str], made: list[str], settings: dict[str, object]) -> None:
    script = folder / "scripts" / f"{stage}.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(STAGE)
    words = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, f"scripts/{stage}.py", "--read", *read, *words, "--made", *made]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def audit(folder: Path, *asked: str) -> subprocess.CompletedProcess[str]:
    """`audit.py` as somebody in the study's folder calls it."""
    command = [sys.executable, str(PROJECT / "scripts/audit.py"), *asked]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
