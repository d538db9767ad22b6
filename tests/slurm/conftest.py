"""A SLURM for the session, and studies that run on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import PROGRAMS, Cluster
from clustered import SMALL, ClusterStudy


@pytest.fixture(scope="session", autouse=True)
def slurm_is_there() -> None:
    """Elsewhere these tests are skipped, with the reason; CI installs what they need."""
    lacking = [name for name in [*PROGRAMS, "slurmdbd", "mariadbd"] if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        packages = "apt-get install slurm-wlm slurmdbd mariadb-server-core"
        pytest.skip(f"a test cluster needs root and {packages}; missing: {', '.join(lacking) or 'root'}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), accounting=True) as running:
        yield running


@pytest.fixture(scope="session")
def fresh(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> ClusterStudy:
    """The smallest study that has every kind of job, not run. Tests must not change it: `copy` it."""
    study = ClusterStudy.on(cluster, tmp_path_factory.mktemp("fresh") / "project")
    built = study.python("tests/tiny.py", "results/assets/tiny")
    assert built.returncode == 0, built.stderr
    study.change(SMALL)
    return study


@pytest.fixture(scope="session")
def finished(fresh: ClusterStudy, tmp_path_factory: pytest.TempPathFactory) -> ClusterStudy:
    """That study, run by `snakemake --profile slurm`, undisturbed. Tests must not change it: `copy` it."""
    study = fresh.copy(tmp_path_factory.mktemp("finished") / "project")
    study.submit()
    return study


@pytest.fixture
def study(finished: ClusterStudy, tmp_path: Path) -> ClusterStudy:
    """A finished study of the test's own."""
    return finished.copy(tmp_path / "project")
