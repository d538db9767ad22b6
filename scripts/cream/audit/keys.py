"""Keys that sign statements, read from PEM files.

    openssl genpkey -algorithm ed25519 -aes-256-cbc -out key.pem
    openssl pkey -in key.pem -pubout -out key.pub.pem

make a pair: the first stays with who signs (without -aes-256-cbc it has no passphrase), the second goes to everybody
who checks. RSA keys and the curves P-256, P-384 and P-521 do as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.signer import CryptoSigner, SSlibKey

from cream.errors import UserError

KINDS = "Ed25519, RSA, or ECDSA on P-256, P-384 or P-521"


def read_signer(path: Path, passphrase: Callable[[], bytes]) -> CryptoSigner:
    """The private key in a file; `passphrase` is asked only if the file is protected by one."""
    content = path.read_bytes()
    if b"PUBLIC KEY-----" in content:
        raise UserError(f"{path} is a public key: sign with the private key that belongs to it")
    if b"PRIVATE KEY-----" not in content:
        raise UserError(f"{path} is no private key in PEM: make one as `audit.py sign --help` says")
    protected = b"ENCRYPTED" in content
    said = passphrase() if protected else None
    try:
        return CryptoSigner(load_pem_private_key(content, said))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Whatever the library says of it: nothing of a private key or its passphrase goes into a message.
        wrong = f"the passphrase is not that of {path}, or " if protected else ""
        raise UserError(f"{wrong}{path} holds no whole private key of a kind that signs here ({KINDS})") from None


def read_public_key(path: Path) -> SSlibKey:
    content = path.read_bytes()
    if b"PRIVATE KEY-----" in content:
        raise UserError(
            f"{path} is a private key, which stays with who signs: check with the public one "
            f"(openssl pkey -in {path} -pubout -out {path.with_suffix('.pub.pem')})"
        )
    try:
        return SSlibKey.from_crypto(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{path} is no public key in PEM of a kind that signs here ({KINDS})") from None
