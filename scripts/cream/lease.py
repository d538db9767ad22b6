"""One holder at a time, also across machines that share a file system: a file that its holder keeps fresh.

A Snakemake that was killed leaves its jobs running, and the next one starts the same jobs again beside them;
two Snakemakes may be pointed at one results folder. File locks don't reach across every shared file system,
so a lease is a hard link, which is made for one caller only, and its holder's sign of life is the file's time.
On NFS the server tells that time; where the clients do, their clocks must agree to within a minute.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import math
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

BEAT = 10.0  # seconds between signs of life
DEAD = 90.0  # seconds without one after which a holder counts as gone
LOOK = 2.0  # seconds between looks at another's lease
LET_GO = (errno.ENOENT, errno.ESTALE)  # it went while it was looked at; NFS calls that stale


class Held(Exception):
    """Another holds the lease; the text says who and since when."""


@contextlib.contextmanager
def lease(path: Path, wait: Callable[[str], None] | None = None, patience: float = math.inf) -> Iterator[None]:
    """Hold `path` while the block runs.

    If another holds it, `wait` is called once with a sentence about the holder and the lease is waited for;
    without `wait`, or after `patience` seconds, raises `Held`. A holder that is gone (its process, where it ran on
    this machine; else no sign of life for DEAD seconds) is replaced. Who loses the lease, because it slept that
    long, is ended at once: two must not write the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = _sign(path)
    _acquire(path, mine, wait, time.monotonic() + patience)
    for torn in path.parent.glob(f".{path.name}.*"):  # of others, which were killed or will try again
        torn.unlink(missing_ok=True)
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, mine, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def _sign(path: Path) -> dict:
    return {
        "id": uuid.uuid4().hex,
        "host": platform.node(),
        "place": _place(),
        "pid": os.getpid(),
        "user": _user(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _acquire(path: Path, mine: dict, wait: Callable[[str], None] | None, until: float) -> None:
    said = False
    while not _link(path, mine):
        holder = _read(path)
        if holder is None:  # let go in this moment
            continue
        if holder == mine:  # NFS may lose the answer, ask again, and say that the link is there already
            return
        if _is_gone(path, holder):
            _evict(path, holder)
        elif wait is None or time.monotonic() > until:
            raise Held(described(holder))
        else:
            if not said:
                wait(described(holder))
                said = True
            time.sleep(LOOK)


def _link(path: Path, mine: dict) -> bool:
    """Make the lease, unless it is there."""
    temporary = _written(path, mine)
    try:
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _written(path: Path, mine: dict) -> Path:
    """A file beside the lease with what is to be in it."""
    temporary = path.with_name(f".{path.name}.{mine['id']}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(mine))
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _evict(path: Path, holder: dict) -> None:
    """Remove the lease of a holder that is gone. Of several that see it gone, one may: the others could remove
    the new holder's."""
    right = path.with_name(f"{path.name}.evicting")
    temporary = path.with_name(f".{right.name}.{uuid.uuid4().hex}")
    temporary.touch()
    try:
        os.link(temporary, right)
    except FileNotFoundError:
        return
    except FileExistsError:
        if _age(right) > DEAD:  # whoever had the right is gone too
            right.unlink(missing_ok=True)
        time.sleep(0.1)
        return
    finally:
        temporary.unlink(missing_ok=True)
    try:
        if _read(path) == holder:
            path.unlink(missing_ok=True)
    finally:
        right.unlink(missing_ok=True)


def _is_gone(path: Path, holder: dict) -> bool:
    ended = holder.get("place") == _place() and not _runs(holder["pid"])
    return ended or _age(path) > DEAD


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of the file system it lies on."""
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        # Opened, not only looked at: NFS asks the server again then.
        with probe.open("x") as now, path.open() as then:
            return os.fstat(now.fileno()).st_mtime - os.fstat(then.fileno()).st_mtime
    except OSError as problem:
        if problem.errno in LET_GO:
            return 0.0
        raise
    finally:
        probe.unlink(missing_ok=True)


def _beat(path: Path, mine: dict, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):  # a moment's trouble of the file system isn't the loss of the lease
            if not _still_held(path, mine):
                print(f"error: {path} is another's now: this process was silent too long", file=sys.stderr, flush=True)
                os._exit(1)


def _still_held(path: Path, mine: dict) -> bool:
    """Give a sign of life; a lease that somebody deleted, or a crash of the file system emptied, is made again."""
    holder = _read(path)
    if holder is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _link(path, mine)
    if holder == {}:
        _written(path, mine).replace(path)
        return True
    if holder == mine:
        os.utime(path)
    return holder == mine


def _read(path: Path) -> dict | None:
    """The holder; nothing is known of one whose lease a crash of the file system emptied."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        if problem.errno in LET_GO:
            return None
        raise
    except ValueError:
        return {}


def described(holder: dict) -> str:
    if not holder:
        return "a process that left no name"
    job = f", SLURM job {holder['slurm_job_id']}" if holder["slurm_job_id"] else ""
    return f"process {holder['pid']} of {holder['user']} on {holder['host']}{job}, since {holder['since']}"


def _place() -> str:
    """Where process numbers mean the same: this boot of this machine, this container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    names = Path("/proc/self/ns/pid")
    return f"{boot.read_text().strip()} {names.readlink()}" if boot.exists() else platform.node()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in some containers
        return str(os.getuid())
