"""What a stage promises of doing it again (docs/design.md), for its record and the audit.

B: the same bytes anywhere with the locked environment. C: the same content on the same hardware. Off that
hardware a stage that runs a model promises no more than a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How far two artifacts of a stage may lie apart.

    `absolute`, `relative`: numbers a and b of tables and JSON agree if |a − b| ≤ absolute + relative·|b|.
    `rows`: the share of rows (in JSON: of values in lists) that may differ beyond that, or in text.
    `tensors`: ‖a − b‖ / ‖b‖ over all tensors of a model; of a trained one ‖a − b‖ / ‖b − start‖.
    """

    absolute: float = 0.0
    relative: float = 0.0
    rows: float = 0.0
    tensors: float = 0.0


@dataclass(frozen=True)
class Promise:
    """`determinism`: B or C. `tolerance`: across hardware, None where bytes are promised."""

    determinism: str
    tolerance: Tolerance | None = None


# How far they lie apart was measured by holding one processor to an older one's instructions (docs/audits.md).
# A token is another one where two were nearly as likely, and what follows it is another text.
SAMPLED = Tolerance(rows=0.6)
# Rounding of a bfloat16 forward pass, summed over a response.
SCORED = Tolerance(absolute=0.5, relative=0.02)
# Adam makes a step of full size of any gradient, so rounding in bfloat16 turns part of what training changed.
TRAINED = Tolerance(tensors=0.4)
# An adapter is added to its weights in float32, and came out the same byte for byte.
EXPORTED = Tolerance(tensors=1e-5)
# Items near a tie fall to the other side, and answers of a model in doubt are other texts.
EVALUATED = Tolerance(absolute=0.05, relative=0.05, rows=0.2)
# What a judge says may be its log-probabilities, written out, and a judge in doubt falls to the other side.
CONTESTED = Tolerance(absolute=0.1, rows=0.8)
