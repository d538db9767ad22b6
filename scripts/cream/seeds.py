"""Seeds that depend on what is asked for, never on the order or company it is asked in."""

from __future__ import annotations

import hashlib


def request_seed(run_seed: int, iteration: int, prompt_id: str, response_index: int) -> int:
    """64-bit seed of one response: a hash of run seed, iteration, prompt id and response index."""
    name = f"{run_seed}\0{iteration}\0{prompt_id}\0{response_index}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def stable_order(seed: int, text: str) -> str:
    """Sort key that shuffles texts: equal on every machine, and adding one moves no other."""
    return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()
