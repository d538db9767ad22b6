"""Fixed cells: which prompts run together, whatever order they come in and however many jobs share them.

What runs in one batch rounds together, so a batch must not depend on how a table was split. Prompts are
put in an order of their own, by length and then by name, and cut into cells of a fixed number. A shard is
every n-th cell, whole; because only the very last cell may be short, cutting a shard's prompts into
cells again gives the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence

from cream.errors import UserError


def fixed_cells(places: Sequence[tuple], size: int) -> list[list[int]]:
    """Indices of the prompts in each cell; `places` has each one's key in the order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    return [order[start : start + size] for start in range(0, len(order), size)]


def cells_of_requests(owners: Sequence[int], places: Sequence[tuple], size: int) -> list[list[int]]:
    """Indices of the requests in each cell, where request k belongs to prompt `owners[k]`."""
    mine: dict[int, list[int]] = {}
    for request, owner in enumerate(owners):
        mine.setdefault(owner, []).append(request)
    return [[request for owner in cell for request in mine.get(owner, [])] for cell in fixed_cells(places, size)]


def shard_members(places: Sequence[tuple], size: int, shard: tuple[int, int]) -> list[int]:
    """Indices, in the order given, of the prompts of shard i of n (i from 1): cells i, i + n, i + 2n, …

    Raises `UserError` for a shard without a cell.
    """
    number, count = shard
    cells = fixed_cells(places, size)
    mine = cells[number - 1 :: count]
    if not mine and count > 1:
        raise UserError(
            f"shard {number} of {count} has nothing to do: {len(places)} prompts in cells of {size} make "
            f"{len(cells)}; lower study.shards to at most that, or prompts_per_batch"
        )
    return sorted(index for cell in mine for index in cell)
