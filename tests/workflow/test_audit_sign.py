"""`audit.py sign` and `verify --key`: a signature shows what records that were made to agree can't."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Study

from cream.audit.commands import sign
from cream.audit.findings import DIFFERS, UNCHECKED, Finding
from cream.audit.hashing import hash_files
from cream.audit.keys import read_signer
from cream.audit.ledger import SUFFIX, Ledger
from cream.audit.signing import STATEMENT, check_statement, signed, statement
from cream.contents import files_below
from cream.records import output_digests, record_text, seal

SUMMARY = "results/tables/summary.txt"  # nothing was made from it
WEIGHTS = "results/tiny/seed1/cream/M2/model/adapter_model.safetensors"
TIMESTAMP = ".snakemake_timestamp"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pair that the command's help says how to make, the key's passphrase left out."""
    folder = tmp_path_factory.mktemp("keys")
    commands = re.findall(r"^    (openssl .*)$", sign.__doc__, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(command.replace(" -aes-256-cbc", "").split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def signed_study(finished: Study, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = finished.copy(tmp_path_factory.mktemp("signed") / "project")
    done = audit(study, "sign", "--key", str(keys / "key.pem"))
    assert done.returncode == 0, done.stderr
    return study


@pytest.fixture
def copy(signed_study: Study, tmp_path: Path) -> Study:
    return signed_study.copy(tmp_path / "project")


def audit(study: Study, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "scripts/audit.py", *arguments],
        cwd=study.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(study: Study, key: Path) -> list[Finding]:
    results = study.folder / "results"
    return check_statement(Ledger(results), results / STATEMENT, key)


def envelope(study: Study) -> dict:
    return json.loads((study.folder / "results" / STATEMENT).read_text())


def test_a_signed_study_is_sound_wherever_it_is_copied(copy: Study, keys: Path) -> None:
    done = audit(copy, "verify", "--files-only", "--key", str(keys / "key.pub.pem"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "artifacts are what their records say" in done.stdout


def test_openssl_verifies_it_and_sha256sum_its_subjects(signed_study: Study, keys: Path, tmp_path: Path) -> None:
    """Without any code of ours or of securesystemslib's: the envelope's encoding (DSSE 1.0) is written out here."""
    told = envelope(signed_study)
    payload, kind = base64.b64decode(told["payload"]), told["payloadType"].encode()
    assert kind == b"application/vnd.in-toto+json"
    (tmp_path / "encoded").write_bytes(b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload]))
    (tmp_path / "signature").write_bytes(base64.b64decode(told["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", keys / "key.pub.pem"]
    subprocess.run([*command, "-in", tmp_path / "encoded", "-sigfile", tmp_path / "signature"], check=True)
    content = json.loads(payload)
    assert content["_type"] == "https://in-toto.io/Statement/v1"
    subjects = [f"{subject['digest']['sha256']}  {subject['name']}" for subject in content["subject"]]
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict"],
        input="\n".join(subjects) + "\n",
        cwd=signed_study.folder,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    # Every record and model folder file is a subject; what the workflow keeps for itself is none.
    names = {subject["name"] for subject in content["subject"]}
    for path in files_below(signed_study.folder / "results"):
        name = str(path.relative_to(signed_study.folder))
        if name.endswith(SUFFIX) or ("/model/" in name and "assets" not in name and path.name != TIMESTAMP):
            assert name in names
    records = sum(name.endswith(SUFFIX) for name in names)
    assert (content["predicate"]["records"], content["predicate"]["files"]) == (records, len(names) - records)


# --- Tampering ---


def resealed(study: Study) -> None:
    """An artifact and its record changed together by somebody who knows how records are sealed."""
    path = study.folder / SUMMARY
    path.write_text(path.read_text().replace("0", "1"))
    place = path.with_name(path.name + SUFFIX)
    record = json.loads(place.read_text())
    record["outputs"][SUMMARY] = output_digests(path)
    place.write_text(record_text({**record, "seal": seal(record)}))


def one_byte(study: Study) -> None:
    path = study.folder / WEIGHTS
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def record_and_artifact_added(study: Study) -> None:
    source, target = (study.folder / name for name in (SUMMARY, "results/tables/more.txt"))
    shutil.copy(source, target)
    record = json.loads(source.with_name(source.name + SUFFIX).read_text())
    record["outputs"] = {"results/tables/more.txt": record["outputs"][SUMMARY]}
    target.with_name(target.name + SUFFIX).write_text(record_text({**record, "seal": seal(record)}))


def record_and_artifact_removed(study: Study) -> None:
    for name in (SUMMARY, SUMMARY + SUFFIX):
        (study.folder / name).unlink()


CHANGED, GONE = "was changed since it was signed", "was signed and is missing: restore it or make it again"
ADDED = "was added since the study was signed"


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (one_byte, {WEIGHTS: CHANGED}),
        (resealed, {SUMMARY: CHANGED, SUMMARY + SUFFIX: CHANGED}),
        (record_and_artifact_added, {"results/tables/more.txt": ADDED, "results/tables/more.txt" + SUFFIX: ADDED}),
        (record_and_artifact_removed, {SUMMARY: GONE, SUMMARY + SUFFIX: GONE}),
        (
            lambda study: (study.folder / WEIGHTS).with_name("extra.bin").write_bytes(b""),
            {WEIGHTS.replace("adapter_model.safetensors", "extra.bin"): ADDED},
        ),
        (
            lambda study: (study.folder / ("results/tables/half.csv" + SUFFIX)).write_text('{"version": 2,'),
            {"results/tables/half.csv" + SUFFIX: ADDED},
        ),
    ],
    ids=["one byte", "resealed", "added", "removed", "added to a model", "half a record added"],
)
def test_what_was_changed_after_the_signature_is_found(
    copy: Study, keys: Path, tamper: Callable[[Study], None], expected: dict[str, str]
) -> None:
    tamper(copy)
    assert {finding.what: finding.said for finding in checked(copy, keys / "key.pub.pem")} == expected


def test_only_the_signature_shows_records_made_to_agree(copy: Study, keys: Path) -> None:
    resealed(copy)
    assert audit(copy, "verify", "--files-only").returncode == 0
    done = audit(copy, "verify", "--files-only", "--key", str(keys / "key.pub.pem"))
    assert done.returncode == 3
    assert f"{SUMMARY}: {CHANGED}" in done.stdout


def test_digests_known_already_are_not_taken_again(copy: Study, keys: Path) -> None:
    results = copy.folder / "results"
    places = [copy.folder / WEIGHTS]
    unread = {place: Finding(UNCHECKED, str(place), "was changed while it was read: verify again") for place in places}
    ledger, at = Ledger(results), results / STATEMENT
    assert check_statement(ledger, at, keys / "key.pub.pem", hash_files(places)) == []
    (found,) = check_statement(ledger, at, keys / "key.pub.pem", unread)
    assert found == Finding(UNCHECKED, WEIGHTS, "was signed and was changed while it was read: verify again")


# --- Envelopes ---


def rewritten(study: Study, change: Callable[[dict], object]) -> None:
    told = envelope(study)
    content = json.loads(base64.b64decode(told["payload"]))
    change(content)
    told["payload"] = base64.b64encode(json.dumps(content).encode()).decode()
    (study.folder / "results" / STATEMENT).write_text(json.dumps(told))


def signed_again(study: Study, key: Path, change: Callable[[dict], object]) -> None:
    """A statement of another content with a signature that holds."""
    content = statement(Ledger(study.folder / "results"))
    change(content)
    written = signed(content, read_signer(key, lambda: b""))
    (study.folder / "results" / STATEMENT).write_text(json.dumps(written))


def by_somebody_else(study: Study, keys: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", other], check=True, capture_output=True)
    signed_again(study, other, lambda content: None)


def with_their_keyid(study: Study, keys: Path, tmp_path: Path) -> None:
    """Signed with another key and labelled as with ours."""
    ours = envelope(study)["signatures"][0]["keyid"]
    by_somebody_else(study, keys, tmp_path)
    told = envelope(study)
    told["signatures"][0]["keyid"] = ours
    (study.folder / "results" / STATEMENT).write_text(json.dumps(told))


def cut_short(study: Study, keys: Path, tmp_path: Path) -> None:
    path = study.folder / "results" / STATEMENT
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda s, k, t: rewritten(s, lambda c: c["subject"].pop()), "was changed since it was signed: "),
        (lambda s, k, t: rewritten(s, lambda c: c["predicate"].update(records=1)), "was changed since it was signed: "),
        (by_somebody_else, "was signed with another key than the one that belongs to "),
        (with_their_keyid, "was changed since it was signed: "),
        (cut_short, "is no DSSE envelope, or was cut short: restore it, or sign again"),
        (lambda s, k, t: (s.folder / "results" / STATEMENT).write_text("[]"), "is no DSSE envelope, or was cut short"),
        (lambda s, k, t: (s.folder / "results" / STATEMENT).unlink(), "can't be read (No such file or directory)"),
        (
            lambda s, k, t: signed_again(s, k / "key.pem", lambda c: c.update(predicateType="https://slsa.dev/v1")),
            "is signed, but states something else",
        ),
        (
            lambda s, k, t: signed_again(s, k / "key.pem", lambda c: c["subject"][0].update(name="results/../x")),
            "tells of results/../x, which no results folder holds",
        ),
    ],
    ids=["subject", "predicate", "other key", "keyid", "cut", "list", "gone", "other type", "outside"],
)
def test_an_envelope_that_proves_nothing_is_found(copy: Study, keys: Path, tmp_path: Path, tamper, said: str) -> None:
    tamper(copy, keys, tmp_path)
    (finding,) = checked(copy, keys / "key.pub.pem")
    assert finding.kind == DIFFERS and finding.what.endswith(STATEMENT)
    assert said in finding.said


# --- Signing ---


@pytest.mark.parametrize("tamper", [one_byte, record_and_artifact_removed])
def test_a_study_that_differs_is_not_signed(finished: Study, tmp_path: Path, keys: Path, tamper) -> None:
    study = finished.copy(tmp_path / "project")
    if tamper is record_and_artifact_removed:
        (study.folder / SUMMARY).unlink()
    else:
        tamper(study)
    done = audit(study, "sign", "--key", str(keys / "key.pem"))
    assert (done.returncode, done.stderr) == (3, "")
    assert "nothing signed: the study isn't what its records say" in done.stdout
    assert not (study.folder / "results" / STATEMENT).exists()


def test_a_half_written_record_is_not_signed_over(finished: Study, tmp_path: Path, keys: Path) -> None:
    study = finished.copy(tmp_path / "project")
    (study.folder / (SUMMARY + SUFFIX)).write_text("{")
    done = audit(study, "sign", "--key", str(keys / "key.pem"))
    assert done.returncode == 1
    assert f"{SUMMARY}{SUFFIX}: is half-written" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("key.pub.pem", "key.pub.pem is a public key: sign with the private key that belongs to it"),
        ("nothing.pem", "nothing.pem doesn't exist"),
    ],
)
def test_a_key_that_does_not_sign_is_refused(finished: Study, keys: Path, name: str, said: str) -> None:
    done = audit(finished, "sign", "--key", str(keys / name), "--out", str(keys / "never.json"))
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr
    assert not (keys / "never.json").exists()


def test_the_private_key_is_not_taken_for_checking(signed_study: Study, keys: Path) -> None:
    done = audit(signed_study, "verify", "--files-only", "--key", str(keys / "key.pem"))
    assert done.returncode == 1
    assert "key.pem is a private key, which stays with who signs: check with the public one" in done.stderr


@pytest.fixture(scope="module")
def locked_key(keys: Path) -> Path:
    """A key with the passphrase `open sesame`, made by the command of the help."""
    command = re.search(r"^    (openssl genpkey .*)$", sign.__doc__, re.MULTILINE)[1].replace("key.pem", "locked.pem")
    subprocess.run([*command.split(), "-pass", "pass:open sesame"], cwd=keys, check=True, capture_output=True)
    return keys / "locked.pem"


def test_a_passphrase_comes_from_a_file(finished: Study, locked_key: Path, tmp_path: Path) -> None:
    passphrase, out = tmp_path / "passphrase", tmp_path / "statement.json"
    command = ["sign", "--key", str(locked_key), "--out", str(out)]
    done = audit(finished, *command)
    assert done.returncode == 1 and "name a file that holds it with --passphrase-file" in done.stderr
    passphrase.write_text("open barley\n")
    done = audit(finished, *command, "--passphrase-file", str(passphrase))
    assert done.returncode == 1 and "the passphrase is not that of" in done.stderr
    assert "barley" not in done.stdout + done.stderr and not out.exists()
    passphrase.write_text("open sesame\n")
    done = audit(finished, *command, "--passphrase-file", str(passphrase))
    assert done.returncode == 0 and out.exists()
    assert "sesame" not in done.stdout + done.stderr + out.read_text()


def test_a_passphrase_is_asked_for_and_not_shown(finished: Study, locked_key: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "scripts/audit.py", "sign", "--key", str(locked_key), "--out", str(tmp_path / "s.json")]
    process = subprocess.Popen(
        command, cwd=finished.folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    shown = b""
    while b"passphrase of" not in shown:
        shown += os.read(ours, 1024)
    os.write(ours, b"open sesame\n")
    assert process.wait(timeout=120) == 0
    shown += os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert b"signed" in shown and b"sesame" not in shown
    assert (tmp_path / "s.json").exists()
