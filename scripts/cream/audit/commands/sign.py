"""Sign what the study holds: an in-toto statement of all files and records, in a DSSE envelope, with a key of yours.

Hashes everything first, and signs nothing that isn't what its record says. A pair of keys:

    openssl genpkey -algorithm ed25519 -aes-256-cbc -out key.pem
    openssl pkey -in key.pem -pubout -out key.pub.pem

(without -aes-256-cbc the key has no passphrase). Give key.pub.pem to whoever checks, by another way than the study:

    python scripts/audit.py verify --key key.pub.pem
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path

from cream.audit.findings import DIFFERS, NOTE, Finding, exit_status
from cream.audit.ledger import Ledger
from cream.audit.outcome import Outcome
from cream.errors import UserError
from cream.stage import input_path, whole_file


def add_flags(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--key", type=input_path, required=True, help="the private key, in PEM")
    flags.add_argument("--passphrase-file", type=input_path, help="its first line is the key's passphrase (asked for)")
    flags.add_argument("--out", type=Path, help="where the envelope goes (RESULTS/audit/statement.dsse.json)")


def run(settings: argparse.Namespace) -> Outcome:
    from cream.audit.keys import read_signer
    from cream.audit.signing import STATEMENT, signed, statement, subjects
    from cream.audit.verify import verify

    signer = read_signer(settings.key, lambda: _passphrase(settings))
    ledger = Ledger(settings.results)
    findings = verify(ledger, files_only=True)
    told = subjects(ledger)
    told_of = [finding for finding in findings if finding.kind != NOTE]
    lines = [f"{finding.what}: {finding.said}" for finding in told_of]
    if any(finding.kind == DIFFERS or finding.what in told or finding in ledger.problems for finding in told_of):
        return Outcome(
            {"signed": None, "findings": _plain(told_of)},
            [*lines, "nothing signed: the study isn't what its records say"],
            exit_status(told_of),
        )
    out = settings.out or settings.results / STATEMENT
    content = statement(ledger)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as path:
        path.write_text(json.dumps(signed(content, signer), indent=2) + "\n", encoding="utf-8")
    counts = content["predicate"]
    said = f"{out}: {counts['files']} files of {counts['artifacts']} artifacts and {counts['records']} records, signed"
    return Outcome(
        {"signed": str(out), "keyid": signer.public_key.keyid, "subjects": len(told), "findings": _plain(told_of)},
        [*lines, said],
    )


def _plain(findings: list[Finding]) -> list[dict]:
    return [vars(finding) for finding in findings]


def _passphrase(settings: argparse.Namespace) -> bytes:
    if settings.passphrase_file is not None:
        lines = settings.passphrase_file.read_bytes().splitlines()
        return lines[0] if lines else b""
    if not sys.stdin.isatty():
        raise UserError(f"{settings.key} has a passphrase: name a file that holds it with --passphrase-file")
    return getpass.getpass(f"passphrase of {settings.key}: ").encode()
