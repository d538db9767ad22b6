"""What a benchmark reads off: seconds, peak memory above what was there before, the machine's name."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Reading:
    """Seconds and peak memory (MB) of a block."""

    seconds: float
    peak_mb: float


@contextmanager
def gauge() -> Iterator[Reading]:
    """Measure a block: on a GPU its own allocator's peak, else the process's resident memory, each above
    what was held when the block began."""
    import torch

    reading = Reading()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
        before = _status("VmRSS")
    started = time.perf_counter()
    yield reading
    if on_gpu:
        torch.cuda.synchronize()
    reading.seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if on_gpu else _status("VmHWM")
    reading.peak_mb = (peak - before) / 2**20


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several tries: what other work on the machine adds is only ever more."""
    import torch

    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found)


def machine() -> str:
    """The processor or GPU, and what runs on it."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def matrix_rate(size: int = 8192) -> float:
    """FLOP/s of a bfloat16 matrix product on this device, the fastest of several."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = size if device == "cuda" else 1024
    a = torch.randn(size, size, dtype=torch.bfloat16, device=device)
    b = torch.randn(size, size, dtype=torch.bfloat16, device=device)
    return 2 * size**3 / fastest(lambda: a @ b, 8)
