"""A balance finds what is on one side only, however many names share a bucket, and nothing where both are the same."""

import random

from hypothesis import given
from hypothesis import strategies as st

from projector.verifying.balance import Balance

BUCKETS = st.sampled_from([1, 3, 64])
NAMES = st.lists(st.one_of(st.text(min_size=1), st.tuples(st.text(), st.binary(), st.sampled_from([0.0, 1.0]))))


@given(NAMES, NAMES, BUCKETS)
def test_a_name_on_one_side_only_is_uneven(expected: list[object], found: list[object], buckets: int) -> None:
    balance = Balance(buckets)
    balance.expect(expected)  # type: ignore[arg-type]
    balance.find(found)  # type: ignore[arg-type]
    for name in {*expected, *found}:
        if expected.count(name) != found.count(name):
            assert not balance.is_even
            assert not balance.is_even_for(name)  # type: ignore[arg-type]


@given(NAMES, BUCKETS, st.randoms(use_true_random=False))
def test_the_same_names_are_even_in_any_order(names: list[object], buckets: int, chance: random.Random) -> None:
    balance = Balance(buckets)
    balance.expect(names)  # type: ignore[arg-type]
    chance.shuffle(names)
    balance.find(names)  # type: ignore[arg-type]
    assert balance.is_even
    assert all(balance.is_even_for(name) for name in names)  # type: ignore[arg-type]
