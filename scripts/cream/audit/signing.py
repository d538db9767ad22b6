"""A signed statement of what a study holds: an in-toto Statement (v1) in a DSSE envelope.

Seals in the records show an edit by somebody who doesn't know how they are made. Who does can change an artifact and
all records after it together; against them stands only a signature whose key they don't have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, SSlibKey

from cream.audit.findings import DIFFERS, Finding
from cream.audit.harmless import harmless
from cream.audit.hashing import hash_files
from cream.audit.keys import read_public_key
from cream.audit.ledger import Ledger
from cream.audit.manifest import recorded_files
from cream.contents import files_below
from cream.errors import UserError
from cream.paths import RESULTS

STATEMENT = "audit/statement.dsse.json"  # below the results folder
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# Says what the predicate's keys mean. A name, no address: nothing is fetched.
PREDICATE_TYPE = "urn:cream-workflow:study-manifest:1"


def subjects(ledger: Ledger) -> dict[str, str]:
    """Every file of every artifact and every record → SHA-256 of its bytes, as the records and their files say."""
    artifacts = {file.name: file.sha256 for file in recorded_files(ledger)}
    return {**artifacts, **{record.path: record.digest for record in ledger.in_order}}


def statement(ledger: Ledger) -> dict:
    digests = subjects(ledger)
    if elsewhere := _outside(digests):
        raise UserError(f"a record tells of {elsewhere[0]}, which no results folder holds: make it below {RESULTS}/")
    commits = {(record.data["git"].get("commit"), record.data["git"].get("dirty")) for record in ledger.records}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "commits": [{"commit": commit, "dirty": dirty} for commit, dirty in sorted(commits, key=str)],
            "records": len(ledger.records),
            "artifacts": len(ledger.maker),
            "files": len(digests) - len(ledger.records),
            "jobs": dict(sorted(Counter(record.stage for record in ledger.records).items())),
            "started": min(record.data["started"] for record in ledger.records),
        },
    }


def signed(content: dict, signer: CryptoSigner) -> dict:
    """The envelope, as JSON holds it."""
    envelope = Envelope(json.dumps(content, sort_keys=True).encode(), PAYLOAD, {})
    envelope.sign(signer)
    return envelope.to_dict()


def check_statement(
    ledger: Ledger, path: Path, key: Path, hashed: Mapping[Path, str | Finding] | None = None
) -> list[Finding]:
    """Whether the study is what was signed with the private half of `key`: every file and record as it was, none
    gone, none added. `hashed`: digests that are known already (`hash_files`); the other files are read here.

    Raises `UserError` if `key` is no public key.
    """
    told = _verified(path, read_public_key(key), key)
    if isinstance(told, Finding):
        return [told]
    places = {name: ledger.place(name) for name in told}
    known = hashed or {}
    found = {**known, **hash_files(place for place in places.values() if place not in known)}
    findings = [_compared(name, told[name], found[place]) for name, place in places.items()]
    return [*filter(None, findings), *_added(ledger, told)]


def _verified(path: Path, key: SSlibKey, key_path: Path) -> dict[str, str] | Finding:
    """Name → digest of a statement whose signature holds. What no signature covers is not looked at."""
    name = str(path)
    try:
        envelope = Envelope.from_dict(json.loads(path.read_bytes()))
    except OSError as problem:
        return Finding(DIFFERS, name, f"can't be read ({problem.strerror}): nothing shows what was signed")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Finding(DIFFERS, name, "is no DSSE envelope, or was cut short: restore it, or sign again")
    signature = envelope.signatures.get(key.keyid)
    if signature is None:
        return Finding(DIFFERS, name, f"was signed with another key than the one that belongs to {key_path}")
    try:
        key.verify_signature(signature, envelope.pae())
    except UnverifiedSignatureError:
        return Finding(DIFFERS, name, f"was changed since it was signed: {key_path} doesn't verify it")
    try:
        content = json.loads(envelope.payload)
        if (envelope.payload_type, content["_type"], content["predicateType"]) != (
            PAYLOAD,
            STATEMENT_TYPE,
            PREDICATE_TYPE,
        ):
            raise ValueError("another statement")
        told = {subject["name"]: subject["digest"]["sha256"] for subject in content["subject"]}
    except (ValueError, KeyError, TypeError):
        return Finding(DIFFERS, name, "is signed, but states something else than what a study of this project holds")
    elsewhere = _outside(told)
    return Finding(DIFFERS, name, f"tells of {elsewhere[0]}, which no results folder holds") if elsewhere else told


def _outside(names: Iterable[str]) -> list[str]:
    return [name for name in names if Path(name).parts[:1] != (RESULTS,) or ".." in Path(name).parts]


def _compared(name: str, signed_digest: str, found: str | Finding) -> Finding | None:
    if isinstance(found, Finding):
        return Finding(found.kind, name, f"was signed and {found.said}")
    return None if found == signed_digest else Finding(DIFFERS, name, "was changed since it was signed")


def _added(ledger: Ledger, told: dict[str, str]) -> Iterator[Finding]:
    """Records, files of artifacts, and files in their folders that the statement doesn't name."""
    inside = (
        f"{artifact}/{file.relative_to(ledger.place(artifact))}"
        for artifact in ledger.maker
        if ledger.place(artifact).is_dir()
        for file in files_below(ledger.place(artifact))
    )
    there = {*subjects(ledger), *(problem.what for problem in ledger.problems)}
    there |= {name for name in inside if harmless(name) is None}
    for name in sorted(there - told.keys()):
        yield Finding(DIFFERS, name, "was added since the study was signed")
