"""What the checks before a run read off SLURM's answers, a node's answers and the configuration."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from study_config import PROJECT, default_config

from cream.cluster import data_checks, needs, slurm
from cream.cluster.fitting import judge_partition
from cream.cluster.here_checks import check_space
from cream.cluster.node_checks import judge_node
from cream.cluster.node_job import NodeJob, Silent
from cream.cluster.probing import SCRIPT, Seen, converse
from cream.cluster.requests import Request, largest_requests
from cream.cluster.site import Site, site_of_profile
from cream.errors import UserError

# As SLURM 22.05.8 said it on the test cluster, and in the other forms its manual gives.
PARTITION = (
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A "
    "DefaultTime=NONE MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 Nodes=n2 State=UP TotalCPUs=4 TotalNodes=1 "
    "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=4,mem=8000M,node=1,billing=4,gres/gpu=2\n"
)
NODE = (
    "NodeName=n2 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=1.98 AvailableFeatures=(null) "
    "Gres=gpu:fake:2 NodeAddr=127.0.0.1 Version=22.05.8 OS=Linux 6.18.44 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=8000 "
    "AllocMem=0 State=IDLE ThreadsPerCore=1 Partitions=cpu,gpu,urgent  CfgTRES=cpu=4,mem=8000M,gres/gpu=2 AllocTRES=\n"
)


def test_partitions_and_nodes_are_read() -> None:
    found = slurm.partitions(PARTITION)["gpu"]
    assert found == slurm.Partition("gpu", "UP", False, 60, None, None)
    assert slurm.nodes(NODE) == [slurm.Node("n2", "IDLE", ("cpu", "gpu", "urgent"), 4, 8000, {"fake": 2})]
    limited = slurm.partitions(PARTITION.replace("AllowAccounts=ALL", "AllowAccounts=lab,other"))["gpu"]
    assert limited.accounts == ("lab", "other")


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu:h100:4(S:0-1)", {"h100": 4}),
        ("gpu:a100:2(S:0),gpu:h100:1,nvme:1", {"a100": 2, "h100": 1}),
        ("craynetwork:4,gpu:8(IDX:0-7)", {"": 8}),
    ],
)
def test_gpus_are_counted_by_kind(gres: str, gpus: dict[str, int]) -> None:
    assert slurm.gpus(gres) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"), [("01:00:00", 60), ("2-00:00:00", 2880), ("1-06:30:00", 1830), ("UNLIMITED", None)]
)
def test_time_limits_are_read(text: str, minutes: int | None) -> None:
    assert slurm.minutes(text) == minutes


@pytest.mark.parametrize(
    ("state", "up"),
    [
        *((state, True) for state in ("IDLE", "MIXED+PLANNED", "ALLOCATED~")),
        *((state, False) for state in ("IDLE+DRAIN", "DOWN*", "IDLE*", "MIXED+NOT_RESPONDING", "UNKNOWN")),
    ],
)
def test_a_node_is_up_or_not(state: str, up: bool) -> None:
    assert replace(slurm.nodes(NODE)[0], state=state).up is up


def test_a_command_that_hangs_or_is_not_there_is_a_reason() -> None:
    with pytest.raises(slurm.NoAnswer, match=r"gave no answer in 0 s"):
        slurm.ask("sleep", "5", patience=0.1)
    with pytest.raises(slurm.NoAnswer, match="no-such-command is not installed here"):
        slurm.ask("no-such-command")


# What a study asks for


def test_the_largest_requests_are_those_of_the_rules() -> None:
    config = default_config()
    found = {each.stage: each for each in largest_requests(config, 2)}
    assert set(found) == {"convert", "sft", "sample", "score", "train", "evaluate", "answer", "compare"}
    sft = needs.need(config, "sft", needs.sft_tokens(config), 134_515_008)
    assert found["sft"] == Request(
        "sft", 2, 0, 2, needs.memory_request(config, sft, 2), needs.time_request(config, sft, 2)
    )
    score = needs.need(config, "score", 3 * needs.response_tokens(config), 134_515_008)
    assert found["score"].minutes == needs.time_request(config, score, 2)
    config["study"]["methods"] += ["p-cream"]
    assert "judge" in {each.stage for each in largest_requests(config, 1)}
    config["study"] |= {"methods": ["sft"], "instructions": []}
    assert {each.stage for each in largest_requests(config, 1)} == {"convert", "sft", "evaluate"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory_mb": 8001}, "train asks for 8001 MB, a node has at most 8000"),
        ({"minutes": 61, "attempt": 3}, "train asks for 61 min at attempt 3, the limit is 60 (MaxTime)"),
        ({"gpus": 3}, "train asks for 3 GPUs on one node, a node has at most 2"),
        ({"cpus": 5}, "train asks for 5 CPUs, a node has at most 4"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, said: str) -> None:
    fitting = Request("train", 1, 2, 4, 8000, 60)
    there, partition = slurm.nodes(NODE), slurm.partitions(PARTITION)["gpu"]
    assert judge_partition(partition, there, [fitting], Site())[0].mark == "ok"
    found, runnable = judge_partition(partition, there, [fitting, replace(fitting, **change)], Site())
    assert found.mark == "no" and found.said.startswith(said)
    assert runnable is ("gpus" not in change)


# What a node says


@pytest.fixture
def job(tmp_path: Path):
    """The probe as a process of this machine, looking at a folder of its own."""
    (tmp_path / "there").mkdir()
    running = NodeJob([sys.executable, str(SCRIPT), str(tmp_path / "there")])
    assert running.answer(30)["node"]
    yield running
    running.end()


def test_a_shared_folder_and_one_clock(job: NodeJob, tmp_path: Path) -> None:
    seen = Seen("here", 0.1)
    converse(job, seen, tmp_path / "there", 5)
    assert 0 <= seen.seen_there < 2 and 0 <= seen.seen_here < 2
    assert abs(seen.ahead) < 0.5 and seen.uncertain < 0.5


def test_a_folder_that_is_not_shared_is_told(job: NodeJob, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    seen = Seen("n7", 0.1)
    converse(job, seen, tmp_path / "here", 0.3)
    assert seen.seen_there is None and seen.seen_here is None
    found = list(judge_node(replace(seen, facts={"problem": "x"}), 0, Site(latency_wait=0.3)))
    assert [each.mark for each in found] == ["no", "no", "ok"]
    assert found[1].said.startswith(
        "it saw no file that was written here within 0 s: results/ must lie on a file system"
    )


def test_a_package_that_cannot_be_imported_is_told(job: NodeJob) -> None:
    facts = job.ask(ask="facts", packages=["packaging", "no_such_package"])
    assert facts["problem"] == "no_such_package can't be imported: No module named 'no_such_package'"


def test_a_job_that_ends_early_says_why(tmp_path: Path) -> None:
    words = "slurmstepd-n1: error: execve(): /nope/python: No such file or directory"
    failing = NodeJob(["sh", "-c", f"echo '{words}' >&2; exit 2"])
    with pytest.raises(Silent, match=r"the job failed: execve\(\): /nope/python: No such file or directory"):
        failing.ask(ask="clock")
    failing.end()


def test_clocks_that_differ_are_told() -> None:
    def clock(ahead: float) -> str:
        seen = Seen("n1", 0.1, ahead, 0.02, 0.1, 0.1, facts={"problem": "x"})
        return str(next(each for each in judge_node(seen, 0, Site()) if each.about == "clock n1"))

    assert clock(0.4).startswith("ok  clock n1        0.40 s from this machine's (to within 0.02 s)")
    assert clock(-7.5).startswith("no  clock n1        it is 7.5 s behind this machine's (to within 0.02 s): Snakemake")
    assert "ahead of" in clock(7.5)


# What is here


def test_missing_files_and_keys_are_lines_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = default_config()
    config["benchmarks"]["arc_easy"]["data"] = {"test": str(tmp_path / "arc.jsonl")}
    config["study"]["evaluate"] = ["siqa", "arc_easy"]
    config["instructions"]["everyday"]["file"] = str(PROJECT / "studies/instructions.tsv")
    config["judges"]["far"] = {"endpoint": "https://e/v1", "model": "m", "key_from": "NO_SUCH_KEY", "max_new_tokens": 9}
    config["study"]["judge"] = "far"
    found = [*data_checks.check_files(config), *data_checks.check_judge(config)]
    assert [str(each) for each in found] == [
        f"no  data            benchmarks.arc_easy.data.test names {tmp_path}/arc.jsonl, which doesn't exist: put it "
        "there or correct the path",
        "no  judge           NO_SUCH_KEY isn't set here, where https://e/v1 is asked: export it",
    ]
    (tmp_path / "arc.jsonl").touch()
    monkeypatch.setenv("NO_SUCH_KEY", "secret")
    found = [*data_checks.check_files(config), *data_checks.check_judge(config)]
    assert [each.mark for each in found] == ["ok", "ok"] and "secret" not in str(found)
    assert data_checks.hub_benchmarks(config) == {}


def test_a_fetched_package_must_be_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "will be fetched where Snakemake runs" in data_checks.check_packages(default_config()).said
    (tmp_path / "results/assets").mkdir(parents=True)
    (tmp_path / "results/assets/evals-3.0.1.post1.whl").write_bytes(b"not it")
    found = data_checks.check_packages(default_config())
    assert found.mark == "no" and "evals-3.0.1.post1.whl has another SHA-256" in found.said


def test_no_room_is_told(tmp_path: Path) -> None:
    config = default_config()
    assert check_space(config, tmp_path).mark == "ok"
    config["models"]["smollm2-135m-instruct"]["parameters"] = 10**17
    found = check_space(config, tmp_path / "results")
    assert found.mark == "no" and "make room" in found.said


def test_a_benchmark_is_looked_for_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache as the hub's library leaves it, with one of two benchmarks in it."""
    import datasets

    for split in ("train", "test"):
        rows = datasets.Dataset.from_list([{"question": "1 + 1?", "answer": "#### 2"}])
        rows.to_json(tmp_path / f"{split}.jsonl")
    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")}
    builder = datasets.load_dataset_builder("json", data_files=files, cache_dir=str(tmp_path / "built"))
    builder.download_and_prepare()
    cached = tmp_path / "cache/openai___gsm8k/main/0.0.0" / ("a" * 40)
    shutil.copytree(builder.cache_dir, cached)
    for file in cached.glob("json-*.arrow"):
        file.rename(cached / file.name.replace("json-", "gsm8k-"))
    info = json.loads((cached / "dataset_info.json").read_text())
    (cached / "dataset_info.json").write_text(json.dumps(info | {"dataset_name": "gsm8k", "config_name": "main"}))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    config = default_config()
    config["study"]["evaluate"] = ["gsm8k", "arc_easy"]
    here, absent = data_checks.check_benchmarks(config, reaches=False)
    assert here.mark == "ok" and "in this account's cache" in here.said
    assert absent.mark == "no" and "allenai/ai2_arc, ARC-Easy" in absent.said and "nodes do not reach" in absent.said
    assert [each.mark for each in data_checks.check_benchmarks(config, reaches=True)] == ["ok", "ok"]


# The site


def test_a_profile_is_read_in_both_forms(tmp_path: Path) -> None:
    found = site_of_profile(PROJECT / "slurm/profile.yaml")
    assert found == Site("cpu", "gpu", "gpus", "lab", 2, 60)
    assert found.attempts == 3 and found.partition_of(0) == "cpu" and found.partition_of(2) == "gpu"
    listed = tmp_path / "profile.yaml"
    listed.write_text(
        "default-resources: [slurm_partition=short, gpu_request=gres:h100]\nslurm-status-command: squeue\n"
    )
    found = site_of_profile(listed)
    assert (found.slurm_partition, found.gpu_kind, found.status_command) == ("short", "h100", "squeue")
    assert found.gpu_flags(2) == ["--gres=gpu:h100:2"] and found.gpu_flags(0) == []
    assert found.partition_of(1) == "short"


@pytest.mark.parametrize("text", ["- a\n", "a: [", "retries: many\n"])
def test_a_profile_that_cannot_be_read_gives_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.yaml").write_text(text)
    with pytest.raises(UserError) as mistake:
        site_of_profile(tmp_path / "profile.yaml")
    assert "\n" not in str(mistake.value)
