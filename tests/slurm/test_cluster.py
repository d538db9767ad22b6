"""The test cluster itself: it starts, runs a job, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cluster import Cluster
from clustered import ClusterStudy, wait_until
from processes import processes_with


@pytest.mark.parametrize("accounting", [False, True], ids=["without accounting", "with accounting"])
def test_a_cluster_starts_runs_a_job_and_leaves_nothing(tmp_path: Path, accounting: bool) -> None:
    folder = tmp_path / "slurm"
    before = {path.name for path in Path("/etc").iterdir()}
    with Cluster(folder, accounting) as cluster:
        assert "n2 gpu:fake:2" in " ".join(cluster.run("sinfo", "-h", "-N", "-o", "%N %G").split())
        assert cluster.run("srun", "--ntasks=1", "--time=1", "printenv", "SLURMD_NODENAME").strip() in ("n1", "n2")
        if accounting:
            wait_until(lambda: "COMPLETED" in cluster.run("sacct", "-X", "-n", "--format=State"), "the job's account")
        else:
            with pytest.raises(subprocess.CalledProcessError):
                cluster.run("sacct", "-X", "-n", "--format=State")
        assert processes_with(str(folder))
    assert processes_with(str(folder)) == set()
    assert {path.name for path in Path("/etc").iterdir()} == before


def test_without_accounting_a_study_s_jobs_are_followed_through_the_queue(tmp_path: Path) -> None:
    """Debian's SLURM has a sacct that answers nothing there; the plugin alone would wait for ever."""
    with Cluster(tmp_path / "slurm") as cluster:
        study = ClusterStudy.on(cluster, tmp_path / "project")
        assert study.python("tests/tiny.py", "results/assets/tiny").returncode == 0
        said = study.submit("results/tiny/base/M0/model.json")
        assert "squeue is asked instead" in said and "gives no answer" not in said
    record = json.loads((study.folder / "results/tiny/base/M0/model.record.json").read_text())
    assert record["slurm_job_id"] is not None
