"""Seeds depend on what is asked for, not on its order or company."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cream.seeds import request_seed, stable_order

texts = st.text(max_size=12)


def test_seeds_are_fixed_for_ever() -> None:
    # From: printf '1\0002\000siqa-000007\0003' | sha256sum  (first 16 digits) and
    #       printf '7\0004 + 4 = ?' | sha256sum
    assert request_seed(1, 2, "siqa-000007", 3) == 0xE39B703F4BB4FCCC
    assert stable_order(7, "4 + 4 = ?") == "bec997866acc1c0cbe81a592a4fdbe44c5443599ac52a94a5e0005d9937e7878"


def test_a_change_in_any_part_of_the_request_changes_the_seed() -> None:
    seeds = [
        request_seed(1, 2, "p", 3),
        request_seed(2, 2, "p", 3),
        request_seed(1, 3, "p", 3),
        request_seed(1, 2, "q", 3),
        request_seed(1, 2, "p", 4),
        # Digits that move between neighbours must not run together.
        request_seed(12, 1, "p", 3),
        request_seed(1, 21, "p", 3),
        request_seed(1, 2, "p1", 3),
        request_seed(1, 2, "p", 13),
    ]
    assert len(set(seeds)) == len(seeds)


def test_the_requests_of_a_large_study_do_not_collide() -> None:
    seeds = {
        request_seed(run, t, f"siqa-{at:06d}", index)
        for run in range(3)
        for t in range(1, 4)
        for at in range(200)
        for index in range(5)
    }
    assert len(seeds) == 3 * 3 * 200 * 5


@settings(max_examples=50)
@given(run=st.integers(0, 10**6), t=st.integers(1, 9), prompt=texts, index=st.integers(0, 99))
def test_seeds_fit_64_bits_and_repeat(run: int, t: int, prompt: str, index: int) -> None:
    seed = request_seed(run, t, prompt, index)
    assert 0 <= seed < 2**64
    assert seed == request_seed(run, t, prompt, index)


@settings(max_examples=50)
@given(items=st.sets(texts, min_size=2, max_size=10), more=texts, seed=st.integers(0, 1000))
def test_adding_an_item_moves_no_other(items: set[str], more: str, seed: int) -> None:
    before = sorted(items, key=lambda text: stable_order(seed, text))
    after = sorted(items | {more}, key=lambda text: stable_order(seed, text))
    assert [text for text in after if text in items] == before


def test_the_order_is_a_shuffle_that_the_seed_decides() -> None:
    items = [f"item {n:03d}" for n in range(200)]
    orders = [sorted(items, key=lambda text: stable_order(seed, text)) for seed in (1, 2)]
    assert orders[0] != orders[1]
    # In a random order about half of all neighbours go up (sd 7 of 199).
    for order in orders:
        assert 70 < sum(a < b for a, b in pairwise(order)) < 130
