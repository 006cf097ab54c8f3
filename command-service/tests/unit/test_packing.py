"""Packing: what waits goes together, within the limits, and in its order."""

from itertools import pairwise

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from command_service.outbox.packing import Row, pack
from contracts.topology import MAX_EVENTS_PER_MESSAGE, MAX_MESSAGE_BYTES


def event(size: int) -> str:
    return '"' + "x" * (size - 2) + '"'


@given(
    st.lists(
        st.sampled_from([2, 10, 1000, 2600, 2621, 2622, MAX_MESSAGE_BYTES // 2, MAX_MESSAGE_BYTES + 1]), max_size=250
    )
)
@example([10] * 201)
@example([MAX_MESSAGE_BYTES // 2, MAX_MESSAGE_BYTES // 2 - 3])
@example([MAX_MESSAGE_BYTES // 2, MAX_MESSAGE_BYTES // 2 - 2])
@example([MAX_MESSAGE_BYTES - 2])
def test_messages_hold_all_rows_in_order_within_both_limits(sizes: list[int]) -> None:
    rows = [Row(seq, event(size)) for seq, size in enumerate(sizes)]
    packages = pack(rows)
    assert [seq for package in packages for seq in package.seqs] == [row.seq for row in rows]
    for package in packages:
        assert 1 <= len(package.seqs) <= MAX_EVENTS_PER_MESSAGE
        assert len(package.body) <= MAX_MESSAGE_BYTES or len(package.seqs) == 1
        assert orjson.loads(package.body) == [orjson.loads(rows[seq].message) for seq in package.seqs]
    for package, following in pairwise(packages):
        next_size = len(rows[following.seqs[0]].message)
        assert len(package.seqs) == MAX_EVENTS_PER_MESSAGE or len(package.body) + 1 + next_size > MAX_MESSAGE_BYTES


def test_sizes_are_bytes_and_not_characters() -> None:
    packages = pack([Row(n, '"' + "€" * 50_000 + '"') for n in range(2)])
    assert [package.seqs for package in packages] == [[0], [1]]


def test_nothing_waiting_is_no_message() -> None:
    assert pack([]) == []
