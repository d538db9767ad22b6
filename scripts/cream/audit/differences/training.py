"""How far two trainings from one start lie apart, as a share of how far training moved the model.

Beside the weights a model began with, what training does is small: by ‖a − b‖ / ‖b‖ a model that never learned anything
would lie close to one that did. So the start is taken off. Of a LoRA adapter counts what it adds to a layer, B·A: its A
alone is mostly the random numbers that it began with.
"""

from __future__ import annotations

import math
from pathlib import Path

from cream.audit.differences.stored import BLOCK, holders, read

A, B = ".lora_A.weight", ".lora_B.weight"


def share_of_training(ours: list[Path], theirs: list[Path], start: list[Path]) -> float:
    """‖ours − theirs‖ / ‖theirs − start‖ over all weights, an adapter's being the products B·A.

    Each is the safetensors files of a model; ours and theirs hold the same tensors. What `start` lacks began at zero,
    as an adapter does. Infinite where a number is none, or where only `ours` is no longer its start.
    """
    mine, others, begun = (holders(files) for files in (ours, theirs, start))
    apart = moved = 0.0
    for name in others:
        if name.endswith(A) and _partner(name) in others:
            continue  # counts with its B
        a, b, began = (_factors(held, name) for held in (mine, others, begun))
        apart, moved = apart + _squared_distance(a, b), moved + _squared_distance(b, began)
    if apart == 0:
        return 0.0
    return math.sqrt(apart / moved) if 0 < moved < math.inf else math.inf


def _partner(name: str) -> str:
    return name.removesuffix(A) + B if name.endswith(A) else name.removesuffix(B) + A


def _factors(held: dict[str, Path], name: str) -> list:
    """Tensors whose product is the weight: [B, A] of an adapter's layer, [W] of any other; [] where it isn't held."""
    names = [name, _partner(name)] if name.endswith(B) and _partner(name) in held else [name]
    return [read(held[each], each) for each in names if each in held]


def _squared_distance(a: list, b: list) -> float:
    """‖∏a − ∏b‖², where no factors make zero."""
    if len(a) == len(b) and all(one.equal(other) for one, other in zip(a, b, strict=True)):
        return 0.0  # without the rounding of a product
    squared = _of_products(a, b) if len(a or b) == 2 else _of_tensors(*a, *b)
    return squared if math.isfinite(squared) else math.inf


def _of_products(a: list, b: list) -> float:
    """B₁A₁ − B₂A₂ is [B₁ −B₂]·[A₁; A₂], as far from zero as the product of the small R of these factors' QR."""
    import torch

    left = torch.cat([pair[0].double() * sign for pair, sign in ((a, 1), (b, -1)) if pair], dim=1)
    right = torch.cat([pair[1].double() for pair in (a, b) if pair], dim=0)
    if not (left.isfinite().all() and right.isfinite().all()):
        return math.inf
    return (torch.linalg.qr(left, mode="r").R @ torch.linalg.qr(right.T, mode="r").R.T).square().sum().item()


def _of_tensors(*tensors) -> float:
    """‖a − b‖², or of one tensor alone ‖a‖², in doubles, block by block."""
    blocks = zip(*(tensor.flatten().split(BLOCK) for tensor in tensors), strict=True)
    doubles = ([part.double() for part in parts] for parts in blocks)
    return sum((parts[0] - parts[1] if parts[1:] else parts[0]).square().sum().item() for parts in doubles)
