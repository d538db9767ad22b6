"""Keys from PEM files: what signs is verified by openssl, and what is no such key is refused with a sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cream.audit.keys import read_public_key, read_signer
from cream.errors import UserError

SIGNING = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}
OTHERS = {
    "ed448": ed448.Ed448PrivateKey.generate,
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
}
# How openssl is told to check each: hash and padding are not in the key.
CHECKED_AS = {
    "ed25519": ["-rawin"],
    "P-256": ["-rawin", "-digest", "sha256"],
    "P-384": ["-rawin", "-digest", "sha384"],
    "P-521": ["-rawin", "-digest", "sha512"],
    "rsa": ["-rawin", "-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"],
}


def no_passphrase() -> bytes:
    raise AssertionError("asked for a passphrase of a key that has none")


def pair(folder: Path, key, passphrase: bytes | None = None) -> tuple[Path, Path]:
    private, public = folder / "key.pem", folder / "key.pub.pem"
    protected = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protected))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.mark.parametrize("kind", SIGNING)
def test_openssl_verifies_what_a_key_signs(kind: str, tmp_path: Path) -> None:
    private, public = pair(tmp_path, SIGNING[kind]())
    signature = read_signer(private, no_passphrase).sign(b"a study")
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature.signature))
    for content, holds in ((b"a study", True), (b"a studx", False)):
        (tmp_path / "content").write_bytes(content)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-in", tmp_path / "content"]
        done = subprocess.run(
            [*command, "-sigfile", tmp_path / "signature", *CHECKED_AS[kind]], capture_output=True, check=False
        )
        assert (done.returncode == 0) == holds, done.stderr
    assert read_public_key(public).keyid == signature.keyid


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_keys_are_refused(kind: str, tmp_path: Path) -> None:
    private, public = pair(tmp_path, OTHERS[kind]())
    with pytest.raises(UserError, match=r"of a kind that signs here \(Ed25519, RSA, or ECDSA"):
        read_signer(private, no_passphrase)
    with pytest.raises(UserError, match=r"key\.pub\.pem is no public key in PEM of a kind that signs here"):
        read_public_key(public)


def test_each_half_in_the_place_of_the_other_is_refused(tmp_path: Path) -> None:
    private, public = pair(tmp_path, SIGNING["ed25519"]())
    with pytest.raises(UserError, match=r"key\.pub\.pem is a public key: sign with the private key"):
        read_signer(public, no_passphrase)
    with pytest.raises(UserError, match=r"key\.pem is a private key, which stays with who signs"):
        read_public_key(private)


def test_a_passphrase_opens_its_key_alone_and_is_never_told(tmp_path: Path) -> None:
    private, _ = pair(tmp_path, SIGNING["ed25519"](), b"open sesame")
    assert read_signer(private, lambda: b"open sesame").sign(b"a study")
    with pytest.raises(UserError, match="the passphrase is not that of") as refused:
        read_signer(private, lambda: b"open barley")
    assert "barley" not in str(refused.value) and refused.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"no private key in PEM|holds no whole private key"):
        read_signer(path, no_passphrase)
    path.write_bytes(content.replace(b"PRIVATE", b"PUBLIC"))
    with pytest.raises(UserError, match="is no public key in PEM"):
        read_public_key(path)
