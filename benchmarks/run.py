"""Measure the engines on this machine and write a table.

    snakemake --cores all sft                           (makes the model that is measured)
    python benchmarks/run.py --out benchmarks/cpu.md    (about half an hour on two cores)

Numbers with a ratio to aim at are the middle of three processes, the ways beside each other in turn. On a GPU the
same command measures there, with `--shape 8b` for random weights of an 8B Llama's shape.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gauges import machine, matrix_rate
from shapes import SHAPES, parameter_count, save_random
from sharing import seconds_of_jobs, shared_and_own

HERE = Path(__file__).resolve().parent
MODEL = "results/smollm2-135m-instruct"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    flags.add_argument("--repeats", type=int, default=3, help="processes a number is the middle of")
    flags.add_argument("--shape", choices=sorted(SHAPES), help="random weights of this shape instead of M0")
    flags.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="which measurements")
    asked = flags.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(Path(MODEL), asked.shape, Path(scratch), asked.repeats)
        lines = [line for name in asked.only for line in CASES[name](study)]
    table = ["| what | ours | against | ratio | aim |", "|---|---|---|---|---|", *lines]
    minutes = (time.time() - started) / 60
    head = [
        f"Machine: {machine()}; {os.cpu_count()} cores. {time.strftime('%Y-%m-%d')}, {minutes:.0f} min.",
        f"Model: {asked.shape or 'SmolLM2-135M-Instruct'}. Command: `{' '.join(['python', *sys.argv])}`.",
        f"Numbers with a ratio to aim at are the middle of {asked.repeats} processes, the others of one.",
    ]
    asked.out.write_text("\n".join([*head, "", *table, ""]))
    print(asked.out.read_text())


class Study:
    """Where the measured models lie, and how a case is run."""

    def __init__(self, folder: Path, shape: str | None, scratch: Path, repeats: int):
        self.base, self.m1 = folder / "base/M0/model", folder / "seed1/sft/M1/model"
        self.prompts = folder / "data/prompts/iter1.parquet"
        self.scratch, self.repeats = scratch, repeats
        self.shape = shape
        self.model = save_random(shape, scratch / shape, self.base) if shape else self.base

    def run(self, case: str, *words: object) -> dict:
        """The JSON that a case prints."""
        command = [sys.executable, str(HERE / f"{case}.py"), *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": "scripts", "OMP_NUM_THREADS": str(os.cpu_count())}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"error: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
        print(case, *words, done.stdout.strip().splitlines()[-1][:200], flush=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def beside(self, case: str, ways: list[str], *words: object) -> dict[str, dict]:
        """Every way's middle numbers, the ways run in turn so that a slow minute hits all of them."""
        found = {way: [] for way in ways}
        for _ in range(self.repeats):
            for way in ways:
                found[way].append(self.run(case, way, *words))
        numbers = {name for run in found[ways[0]] for name, value in run.items() if isinstance(value, float)}
        return {
            way: {**runs[0], **{name: statistics.median(run[name] for run in runs) for name in numbers}}
            for way, runs in found.items()
        }


def scoring(study: Study) -> list[str]:
    groups, batch = (64, 8) if study.shape == "8b" else (8, 4)
    lines = []
    for spread, lengths in ((0.5, "64 to 192 tokens, 128 on average"), (0, "128 tokens")):
        words = ["--model", study.model, "--groups", groups, "--length", 128, "--spread", spread, "--batch", batch]
        found = study.beside("scoring", ["ours", "plain"], *words)
        ours, plain = found["ours"], found["plain"]
        lines += [
            row(
                f"scoring, {groups} prompts × 5 responses, each of {lengths}",
                f"{ours['tokens_per_s']:.0f} tokens/s",
                f"{plain['tokens_per_s']:.0f}, whole sequences in arrival order",
                ours["tokens_per_s"] / plain["tokens_per_s"],
                "≥ 2",
            ),
            row(
                "— its peak memory above the model",
                f"{ours['peak_mb']:.0f} MB",
                f"{plain['peak_mb']:.0f} MB",
                ours["peak_mb"] / plain["peak_mb"],
                "≤ ½",
            ),
        ]
    # A response token costs its own pass and a fifth of a prompt token's.
    return lines + utilisation(study, "scoring", ours["tokens_per_s"] * 1.2, flops_per_weight=2, aim="≥ 55 % at 8B")


def dpo_step(study: Study) -> list[str]:
    words = ["--model", study.model, "--steps", 2, "--length", 64, "--batch", 8]
    found = study.beside("dpo_step", ["ours", "trl"], *words)
    ours, trl = found["ours"], found["trl"]
    line = row(
        "DPO step, 8 pairs, LoRA 16, prompt and responses of 64 tokens",
        f"{ours['seconds_per_step']:.2f} s",
        f"{trl['seconds_per_step']:.2f} s, TRL computing its reference",
        trl["seconds_per_step"] / ours["seconds_per_step"],
        "≥ 1.3",
    )
    memory = row(
        "— its peak memory above the model",
        f"{ours['peak_mb']:.0f} MB",
        f"{trl['peak_mb']:.0f} MB",
        ours["peak_mb"] / trl["peak_mb"],
        "",
    )
    # Frozen weights: a forward pass, and a backward pass through the activations only.
    return [line, memory, *utilisation(study, "DPO step", ours["tokens_per_s"], flops_per_weight=4, aim="≥ 45 % at 8B")]


def sampling(study: Study) -> list[str]:
    words = ["--model", study.m1, "--base", study.base, "--prompts", study.prompts]
    found = study.beside("sampling", ["ours", "plain"], *words)
    served = study.run("sampling", "vllm", *words)
    ours, plain = found["ours"]["tokens_per_s"], found["plain"]["tokens_per_s"]
    lines = [
        row(
            "sampling M1 (LoRA), the study's prompts × 5, transformers",
            f"{ours:.0f} tokens/s",
            f"{plain:.0f}, `generate` in arrival order",
            ours / plain,
            "≥ 1.5",
        ),
        row(
            "sampling M1 (LoRA), vLLM",
            f"{served['tokens_per_s']:.0f} tokens/s",
            f"{plain:.0f}",
            served["tokens_per_s"] / plain,
            "",
        ),
    ]
    return lines


def serving(study: Study) -> list[str]:
    """vLLM on whole weights; what its deterministic mode costs and gives."""
    words = ["--model", study.base, "--base", study.base, "--prompts", study.prompts]
    transformers = study.run("sampling", "ours", *words)
    found = {
        (way, shards): study.run("sampling", way, *words, "--shards", shards)
        for way in ("vllm", "vllm-deterministic")
        for shards in (1, 2)
    }
    plain, fixed = found["vllm", 1], found["vllm-deterministic", 1]
    lines = [
        row(
            "sampling M0 (whole weights), vLLM",
            f"{plain['tokens_per_s']:.0f} tokens/s",
            f"{transformers['tokens_per_s']:.0f}, transformers (ours)",
            plain["tokens_per_s"] / transformers["tokens_per_s"],
            "",
        ),
        row(
            "— with `deterministic: true`",
            f"{fixed['tokens_per_s']:.0f} tokens/s",
            f"{plain['tokens_per_s']:.0f} without",
            fixed["tokens_per_s"] / plain["tokens_per_s"],
            "",
        ),
    ]
    for way, name in (("vllm", "without"), ("vllm-deterministic", "with")):
        a, b = found[way, 1]["ids"], found[way, 2]["ids"]
        same = sum(x == y for x, y in zip(a, b, strict=True))
        lines.append(
            f"| vLLM, identical responses for 1 and 2 shards, {name} `deterministic` | {same} of {len(a)} | | | |"
        )
    return lines


def engines(study: Study) -> list[str]:
    samples = study.m1.parent / "samples.parquet"
    lines = []
    for a, b in (
        ("transformers:float32", "vllm:float32"),
        ("transformers:bfloat16", "vllm:bfloat16"),
        ("transformers:float32", "transformers:bfloat16"),
    ):
        found = study.run(
            *["agreement", "--samples", samples, "--models", study.m1, study.base, "--base", study.base],
            *["--a", a, "--b", b],
        )
        lines.append(
            f"| log-probs, {a} and {b}: largest and mean gap a token (nats) | {found['largest']:.1e} | "
            f"{found['mean']:.1e} | | |"
        )
        lines.append(
            f"| — pairs of responses whose rewards change order | {found['flips']} of {found['orders']} | | | |"
        )
    return lines


def vocabulary(study: Study) -> list[str]:
    peaks = {}
    for words in (49152, 131072):
        model = save_random("135m", study.scratch / f"vocabulary{words}", study.base, vocab_size=words)
        asked = ["--model", model, "--groups", 8, "--length", 128, "--batch", 4]
        peaks[words] = study.beside("scoring", ["ours"], *asked)["ours"]["peak_mb"]
    ratio = peaks[131072] / peaks[49152]
    return [
        row(
            "memory of scoring above the model, 131,072 words",
            f"{peaks[131072]:.0f} MB",
            f"{peaks[49152]:.0f} MB, 49,152 words",
            ratio,
            "0.8 to 1.2",
        )
    ]


def growth(study: Study) -> list[str]:
    words = ["--model", study.m1, "--base", study.base, "--prompts", study.prompts]
    seconds = {times: study.run("sampling", "ours", *words, "--times", times)["seconds"] for times in (1, 2, 4)}
    return [
        row(
            f"growth: sampling, prompts ×{times}",
            f"{seconds[times]:.1f} s",
            f"{seconds[1]:.1f} s",
            seconds[times] / seconds[1],
            f"{times}",
        )
        for times in (2, 4)
    ]


def sharing(study: Study) -> list[str]:
    jobs = seconds_of_jobs(Path("results/benchmarks"))
    methods = sorted({job.split("/")[3] for job in jobs if job.startswith("train_policy/")})
    if not methods:
        return ["| the default study's jobs | not run here | | | |"]
    shared, own = shared_and_own(jobs, methods)
    alone = len(methods) * shared + own
    return [
        row(
            f"all jobs of the default study ({', '.join(methods)}), summed",
            f"{shared + own:.0f} s",
            f"{alone:.0f} s, one method at a time",
            alone / (shared + own),
            "",
        )
    ]


def utilisation(study: Study, what: str, tokens_per_s: float, flops_per_weight: int, aim: str) -> list[str]:
    """Share of the device's matrix rate that the weights' products take (attention not counted)."""
    rate = matrix_rate()
    used = tokens_per_s * flops_per_weight * parameter_count(study.model)
    return [
        f"| — share of the measured matrix rate ({rate / 1e12:.2f} TFLOP/s), {what} | {used / rate:.0%} | | | {aim} |"
    ]


def row(what: str, ours: str, against: str, ratio: float, aim: str) -> str:
    return f"| {what} | {ours} | {against} | {ratio:.2f} | {aim} |"


CASES = {case.__name__: case for case in (scoring, dpo_step, sampling, vocabulary, growth, serving, engines, sharing)}

if __name__ == "__main__":
    main()
