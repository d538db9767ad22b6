"""All that the records say of one artifact, for a person."""

from __future__ import annotations

from cream.audit.grammar import what
from cream.audit.ledger import Ledger, Record
from cream.audit.telling import abbreviated, in_a_line, part

Facts = list[tuple[str, list[str]]]
WIDE = 160  # characters of one value


def facts(ledger: Ledger, artifact: str) -> Facts:
    """Headings with their lines, in the order to be read."""
    record = ledger.maker[artifact]
    return [
        ("artifact", [artifact, what(artifact)]),
        ("made by", [f"{record.stage}: python {' '.join(map(str, record.data['command']))}"]),
        ("record", [f"{record.path} ({'sealed' if record.sealed else 'its seal does not fit: edited'})"]),
        ("when", [_when(record)]),
        ("where", where(record)),
        ("settings", _pairs(record.data["settings"])),
        ("seeds", _pairs(part(record, "seeds")) or ["none"]),
        ("inputs", _inputs(ledger, record) or ["none"]),
        ("outputs", [line for output in record.outputs for line in _output(record, output)]),
        ("code", code(record)),
        ("packages", [f"{len(record.data['packages'])}; {environment(record)}"]),
        ("promised", [promise(record)]),
        ("observed", _pairs(abbreviated(part(record, "observed"))) or ["nothing"]),
    ]


def _when(record: Record) -> str:
    data = record.data
    memory = f"{data.get('peak_memory_mb')} MB at most, {data.get('processes')} process(es)"
    return f"{data.get('started')}, {data.get('seconds')} s, {memory}"


def where(record: Record) -> list[str]:
    """Host, processor, GPUs, SLURM job."""
    data = record.data
    gpus = data.get("gpus") if isinstance(data.get("gpus"), list) else []
    named = [gpu for gpu in gpus if isinstance(gpu, dict)]
    lines = [f"{data.get('host')}: {data.get('machine')}, {data.get('cpu') or 'processor not recorded'}"]
    lines += [
        f"GPU {gpu.get('index')}: {gpu.get('name')}, {gpu.get('uuid')}, driver {gpu.get('driver_version')}"
        for gpu in named
    ]
    if data.get("slurm_job_id"):
        lines.append(f"SLURM job {data['slurm_job_id']} on {data.get('slurm_node')}")
    return [*lines, *([] if named else ["no GPU"])]


def code(record: Record) -> list[str]:
    """Commit, whether that is all of it, and the files."""
    git = part(record, "git")
    state = {True: "with uncommitted changes", False: "clean", None: "not said whether clean"}.get(git.get("dirty"))
    commit = f"commit {git['commit']}, {state}" if git.get("commit") else "no commit recorded: it ran outside of git"
    return [commit, f"{len(record.data['code_files'])} files, together {record.data['code'][:12]}"]


def environment(record: Record) -> str:
    """The lock that the environment was made from, and what differs from it."""
    lock = part(record, "lock")
    if not lock.get("file"):
        return f"Python {record.data.get('python')}, environment not made from a lock"
    differs = lock.get("differs") or {}
    off = f"other versions than it pins: {_line(differs)}" if differs else "as it pins them"
    return f"Python {record.data.get('python')}, {lock['file']} ({str(lock.get('sha256'))[:12]}), {off}"


def promise(record: Record) -> str:
    """Determinism class in words, with the tolerance across hardware."""
    promised = record.data.get("determinism")
    words = {
        "B": "B: the same bytes anywhere with the locked environment",
        "C": "C: the same content on the same hardware",
    }.get(promised, f"{promised}: a class that this code doesn't know")
    tolerance = {name: value for name, value in part(record, "tolerance").items() if value}
    return f"{words}; elsewhere within {_line(tolerance)}" if tolerance else words


def _line(values: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _inputs(ledger: Ledger, record: Record) -> list[str]:
    return [f"{name}  {_source(ledger, name)}  {_digest(digest)}" for name, digest in record.data["inputs"].items()]


def _source(ledger: Ledger, name: str) -> str:
    maker = ledger.maker.get(ledger.artifact(name))
    return f"made by {maker.stage}" if maker else "no record"


def _digest(digest: object) -> str:
    if not isinstance(digest, dict):
        return str(digest)[:12]
    return f"manifest {str(digest['manifest'])[:12]}" if "manifest" in digest else f"{len(digest)} files"


def _output(record: Record, name: str) -> list[str]:
    digests = record.data["outputs"][name]
    if "files" not in digests:
        return [_digests(name, digests)]
    manifest = f"  manifest {digests['manifest']}" if digests.get("manifest") else ""
    return [f"{name}/{manifest}", *(_digests(f"  {file}", each) for file, each in digests["files"].items())]


def _digests(name: str, each: dict) -> str:
    content = "" if each.get("content") == each.get("file") else f"  content {str(each.get('content'))[:12]}"
    return f"{name}  {each.get('kind')}, {each.get('bytes')} bytes  file {str(each.get('file'))[:12]}{content}"


def _pairs(values: object) -> list[str]:
    return [f"{name}: {in_a_line(value, WIDE)}" for name, value in values.items()] if isinstance(values, dict) else []
