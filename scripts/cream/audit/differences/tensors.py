"""Differences of two models' tensors, whichever of their files they lie in. One tensor is in memory at a time."""

from __future__ import annotations

import math
from pathlib import Path

from cream.audit.differences.difference import LISTED, Difference, shown
from cream.audit.differences.stored import BLOCK, holders, read
from cream.audit.differences.training import share_of_training
from cream.promises import Tolerance


def differences(
    ours: list[Path],
    theirs: list[Path],
    tolerance: Tolerance | None,
    names: tuple[str, str],
    start: list[Path] | None = None,
) -> Difference:
    """`ours` and `theirs`: the safetensors files of each. ‖ours − theirs‖ / ‖theirs‖ over all tensors of both; where
    both were trained from `start`, the distance that counts is the share of that training (training.py)."""
    mine, others = holders(ours), holders(theirs)
    said, reshaped = [], {}
    only = [sorted(mine.keys() - others.keys()), sorted(others.keys() - mine.keys())]
    for found, name in zip(only, names, strict=True):
        if found:
            said.append(f"{len(found)} tensors are {name} alone, the first is {shown(found[0])}")
    apart, norm, largest, differing = 0.0, 0.0, (0.0, None), []
    for name in sorted(mine.keys() & others.keys()):
        a, b = read(mine[name], name), read(others[name], name)
        if a.shape != b.shape or a.dtype != b.dtype:
            reshaped[name] = [f"{tensor.dtype} {list(tensor.shape)}".removeprefix("torch.") for tensor in (a, b)]
            continue
        squares, own, most = _measured(a, b)
        apart, norm = apart + squares, norm + own
        if most > 0 or squares > 0:
            differing.append(name)
            largest = max(largest, (most, name), key=lambda entry: entry[0])
    for name, kinds in list(reshaped.items())[:LISTED]:
        told = ", ".join(f"{kind} {where}" for kind, where in zip(kinds, names, strict=True))
        said.append(f"tensor {shown(name)}: {told}")
    relative = math.sqrt(apart / norm) if norm else (math.inf if apart else 0.0)
    if differing:
        said.append(
            f"{len(differing)} of {len(mine.keys() & others.keys())} tensors differ, by ‖a − b‖ / ‖b‖ = {relative:.3g} "
            f"over all; the largest difference of two numbers is {largest[0]:.3g}, in {shown(largest[1])}"
        )
    same_form = not any(only) and not reshaped
    counted, shares = relative, {}
    if start is not None and same_form and differing:
        counted = share_of_training(ours, theirs, start)
        shares = {"share_of_training": counted}
        said.append(f"beside what training changed that is ‖a − b‖ / ‖b − start‖ = {counted:.3g}")
    return Difference(
        tolerance is not None and same_form and counted <= tolerance.tensors,
        said,
        {
            "relative": relative,
            **shares,
            "largest": {"size": largest[0], "tensor": largest[1]} if differing else None,
            "differing": differing,
            "other_form": reshaped,
            "alone": dict(zip(names, only, strict=True)),
        },
    )


def _measured(ours, theirs) -> tuple[float, float, float]:
    """‖ours − theirs‖², ‖theirs‖², max |ours − theirs|. NaN for NaN is no difference; for a number it is infinite."""
    import torch

    squares = norm = most = 0.0
    for a, b in zip(ours.flatten().split(BLOCK), theirs.flatten().split(BLOCK), strict=True):
        a, b = a.double(), b.double()
        same = (a == b) | (a.isnan() & b.isnan())
        apart = torch.where(same, 0.0, a - b).abs().nan_to_num(nan=math.inf)
        squares += apart.square().sum().item()
        norm += torch.where(b.isfinite(), b, 0.0).square().sum().item()
        most = max(most, apart.max().item() if apart.numel() else 0.0)
    return squares, norm, most
