"""How fast `audit.py verify` hashes: against sha256sum, another way to use all cores, the disk, and SHA-256 itself.

    python benchmarks/verifying.py --folder /data/scratch --files 10 --size 1000

Makes random files (MB each) in a folder of its own there, which it removes. Every way reads them from the disk: the
system is told to forget them before. The ways take turns, and a number is the middle of its runs. What hashing can
reach is the slower of the disk alone and SHA-256 in memory on all cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from cream.audit.hashing import hash_files
from cream.machine import machine

MEGABYTE = 10**6
CHUNK = 1 << 20
CORES = len(os.sched_getaffinity(0))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--folder", type=Path, required=True, help="on the disk to measure")
    flags.add_argument("--files", type=int, default=10)
    flags.add_argument("--size", type=int, default=1000, help="MB of each file")
    flags.add_argument("--runs", type=int, default=3)
    asked = flags.parse_args()
    needed, free = asked.files * asked.size * MEGABYTE, shutil.disk_usage(asked.folder).free
    if free < 1.1 * needed:
        sys.exit(f"error: {asked.folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are to be written")
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        paths = [write(Path(scratch, f"{at}.bin"), asked.size) for at in range(asked.files)]
        times = {name: [] for name in WAYS}
        for _ in range(asked.runs):
            for name, way in WAYS.items():
                times[name].append(timed(way, paths))
                print(f"{name}: {times[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
        check(paths)
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    print(f"Machine: {machine(False)['cpu']}, {CORES} cores, {load}. {needed / 1e9:g} GB, {asked.runs} runs.")
    print("\n".join(table(times, needed)))


def write(path: Path, megabytes: int) -> Path:
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MEGABYTE))
        os.fsync(file.fileno())  # what isn't written yet can't be forgotten
    return path


def timed(way: Callable[[list[Path]], object], paths: list[Path]) -> tuple[float, float]:
    """Seconds by the clock, and of processors, children included."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started, before = time.perf_counter(), processor_seconds()
    way(paths)
    return time.perf_counter() - started, processor_seconds() - before


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def check(paths: list[Path]) -> None:
    """All ways that give digests give the same."""
    said = [line.split()[0] for line in sha256sum(paths).splitlines()]
    if not list(hash_files(paths).values()) == over_processes(paths) == said:
        sys.exit("error: the ways disagree")


def sha256sum(paths: list[Path]) -> str:
    return subprocess.run(["sha256sum", *paths], check=True, capture_output=True, text=True).stdout


def over_processes(paths: list[Path]) -> list[str]:
    with ProcessPoolExecutor(CORES) as pool:
        return list(pool.map(digest, paths))


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reading(paths: list[Path]) -> None:
    with ThreadPoolExecutor(CORES + 1) as pool:
        list(pool.map(read, paths))


def read(path: Path) -> None:
    buffer = bytearray(CHUNK)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def in_memory(paths: list[Path]) -> None:
    """As many bytes as the files have, hashed over and over from one chunk by every core."""
    chunk, count = os.urandom(CHUNK), sum(path.stat().st_size for path in paths) // CHUNK
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda _: repeated(chunk, count // CORES), range(CORES)))


def repeated(chunk: bytes, count: int) -> None:
    hashed = hashlib.sha256()
    for _ in range(count):
        hashed.update(chunk)


OURS, DISK, MEMORY = "hash_files (verify)", "reading alone", "SHA-256 in memory, all cores"
WAYS = {
    OURS: hash_files,
    "hashlib, one process a core": over_processes,
    "sha256sum, one core": sha256sum,
    DISK: reading,
    MEMORY: in_memory,
}


def table(times: dict[str, list[tuple[float, float]]], count: int) -> list[str]:
    seconds = {name: median(run[0] for run in runs) for name, runs in times.items()}
    processor = {name: median(run[1] for run in runs) for name, runs in times.items()}
    limit = max(seconds[DISK], seconds[MEMORY])
    rows = [
        f"| {name} | {seconds[name]:.1f} | {processor[name]:.1f} | {count / seconds[name] / 1e9:.2f} "
        f"| {seconds[OURS] / seconds[name]:.2f} |"
        for name in times
    ]
    head = ["| way | seconds | processor seconds | GB/s | hash_files takes … times as long |", "|---|---|---|---|---|"]
    return [*head, *rows, f"\nAgainst the slower of disk and SHA-256: {seconds[OURS] / limit:.2f} times as long."]


if __name__ == "__main__":
    main()
