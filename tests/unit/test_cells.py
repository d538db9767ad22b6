"""Fixed cells: a batch holds the same prompts in whatever order they come and however many jobs share them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cream.cells import cells_of_requests, fixed_cells, shard_members
from cream.errors import UserError

# A prompt's place is its length and its name: lengths repeat, names don't.
tables = st.lists(
    st.tuples(st.integers(1, 6), st.text("abc", max_size=4)), unique_by=lambda place: place[1], max_size=40
)
sizes = st.integers(1, 12)


def named(places: Sequence[tuple], cells: Sequence[Sequence[int]]) -> list[list[tuple]]:
    """The prompts themselves, where cells have their numbers."""
    return [[places[i] for i in cell] for cell in cells]


def shards_of(places: Sequence[tuple], size: int, count: int) -> list[list[int]]:
    return [shard_members(places, size, (number, count)) for number in range(1, count + 1)]


def test_cells_worked_out_by_hand() -> None:
    places = [(3, "d"), (1, "z"), (2, "b"), (3, "a"), (2, "a")]
    assert fixed_cells(places, 2) == [[1, 4], [2, 3], [0]]
    assert shards_of(places, 2, 2) == [[0, 1, 4], [2, 3]]


@given(places=tables, size=sizes)
def test_every_prompt_is_in_one_cell_and_only_the_last_cell_is_short(places: list[tuple], size: int) -> None:
    cells = fixed_cells(places, size)
    assert sorted(i for cell in cells for i in cell) == list(range(len(places)))
    assert all(len(cell) == size for cell in cells[:-1])
    assert all(0 < len(cell) <= size for cell in cells)


@given(places=tables, size=sizes)
def test_cells_are_cut_from_the_prompts_in_their_own_order(places: list[tuple], size: int) -> None:
    in_cells = [place for cell in named(places, fixed_cells(places, size)) for place in cell]
    assert all(before < after for before, after in itertools.pairwise(in_cells))


@given(places=tables, size=sizes, data=st.data())
def test_the_order_of_arrival_changes_no_cell(places: list[tuple], size: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(places))
    assert named(shuffled, fixed_cells(shuffled, size)) == named(places, fixed_cells(places, size))


@given(places=tables, size=sizes, data=st.data())
def test_the_order_of_arrival_changes_no_shard(places: list[tuple], size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, max(len(fixed_cells(places, size)), 1)))
    shuffled = data.draw(st.permutations(places))
    for mine, again in zip(shards_of(places, size, count), shards_of(shuffled, size, count), strict=True):
        assert {places[i] for i in mine} == {shuffled[i] for i in again}


@given(places=tables, size=sizes, data=st.data())
def test_every_prompt_is_in_one_shard(places: list[tuple], size: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, max(len(fixed_cells(places, size)), 1)))
    shards = shards_of(places, size, count)
    assert sorted(i for mine in shards for i in mine) == list(range(len(places)))
    # Each in the order of the table, and they differ by a cell at most.
    assert all(mine == sorted(mine) for mine in shards)
    assert max(map(len, shards)) - min(map(len, shards)) <= size


@given(places=tables, size=sizes, data=st.data())
def test_a_shard_cut_again_has_cells_of_the_whole_table(places: list[tuple], size: int, data: st.DataObject) -> None:
    """The promise that makes a table of shards the table of one job."""
    whole = named(places, fixed_cells(places, size))
    count = data.draw(st.integers(1, max(len(whole), 1)))
    for number in range(1, count + 1):
        mine = [places[i] for i in shard_members(places, size, (number, count))]
        assert named(mine, fixed_cells(mine, size)) == whole[number - 1 :: count]


@pytest.mark.parametrize("count", range(1, 8))
def test_shards_need_not_divide_the_cells(count: int) -> None:
    places = [(i % 4, f"p{i:02}") for i in range(20)]  # seven cells of three, the last of two
    whole = named(places, fixed_cells(places, 3))
    assert [len(cell) for cell in whole] == [3, 3, 3, 3, 3, 3, 2]
    shards = shards_of(places, 3, count)
    assert all(shards)
    assert sorted(i for mine in shards for i in mine) == list(range(20))
    for number, mine in enumerate(shards):
        found = [places[i] for i in mine]
        assert named(found, fixed_cells(found, 3)) == whole[number::count]


@given(
    places=tables,
    size=sizes,
    data=st.data(),
)
def test_requests_run_in_their_prompts_cells(places: list[tuple], size: int, data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=60)) if places else []
    cells = cells_of_requests(owners, places, size)
    of_prompts = fixed_cells(places, size)
    assert len(cells) == len(of_prompts)
    assert sorted(request for cell in cells for request in cell) == list(range(len(owners)))
    for requests, prompts in zip(cells, of_prompts, strict=True):
        # Prompt by prompt as in the cell; the requests of one prompt as they came.
        expected = [request for prompt in prompts for request, owner in enumerate(owners) if owner == prompt]
        assert requests == expected


@given(places=tables, size=sizes, data=st.data())
def test_the_order_of_arrival_changes_no_cell_of_requests(places: list[tuple], size: int, data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=60)) if places else []
    order = data.draw(st.permutations(range(len(places))))
    shuffled = [places[i] for i in order]
    moved = [order.index(owner) for owner in owners]
    assert cells_of_requests(moved, shuffled, size) == cells_of_requests(owners, places, size)


@given(places=tables, size=sizes, data=st.data())
def test_a_shard_without_a_cell_is_refused(places: list[tuple], size: int, data: st.DataObject) -> None:
    cells = len(fixed_cells(places, size))
    number = data.draw(st.integers(max(cells, 1) + 1, cells + 9))
    with pytest.raises(UserError):
        shard_members(places, size, (number, number))


def test_the_refusal_of_an_empty_shard_names_the_numbers() -> None:
    places = [(1, f"p{i}") for i in range(13)]
    with pytest.raises(UserError) as mistake:
        shard_members(places, 4, (5, 6))
    said = str(mistake.value)
    assert "shard 5 of 6" in said
    assert "13 prompts in cells of 4 make 4" in said
    assert "study.shards" in said and "prompts_per_batch" in said
    assert "\n" not in said


@given(size=sizes)
def test_one_shard_of_one_may_have_nothing_to_do(size: int) -> None:
    assert shard_members([], size, (1, 1)) == []
    assert fixed_cells([], size) == []


@given(size=sizes, count=st.integers(2, 9))
def test_no_prompts_make_no_shards(size: int, count: int) -> None:
    with pytest.raises(UserError):
        shard_members([], size, (1, count))
