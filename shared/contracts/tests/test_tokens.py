"""Consistency tokens: small, exact, and never taken for what they are not."""

import base64
import zlib
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts import tokens
from contracts.streams import inventory_stream, order_stream, partition_key_of, product_stream, rating_stream
from contracts.tokens import InvalidToken, Seen
from contracts.topology import MAX_PARTITIONS, partition_of

_uuids = st.uuids()
_users = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/"), min_size=1, max_size=64)
_streams = st.one_of(
    st.builds(product_stream, _uuids),
    st.builds(inventory_stream, _uuids),
    st.builds(order_stream, _uuids),
    st.builds(rating_stream, _uuids, _users),
)


@given(
    st.lists(st.tuples(_streams, st.integers(0, 2**31 - 1)), max_size=70),
    st.integers(1, MAX_PARTITIONS),
)
def test_a_token_says_what_was_put_into_it(events: list[tuple[str, int]], partitions: int) -> None:
    last = {partition_of(partition_key_of(stream), partitions): (stream, version) for stream, version in events}
    seen = tokens.decode(tokens.encode(last, partitions))
    assert seen == [Seen(partition, stream, version) for partition, (stream, version) in last.items()]


def test_a_token_for_every_partition_has_at_most_2_kilobytes() -> None:
    last: dict[int, tuple[str, int]] = {}
    number = 0
    while len(last) < MAX_PARTITIONS:
        product_id = str(UUID(int=number))
        last[partition_of(product_id, MAX_PARTITIONS)] = (inventory_stream(product_id), 2**31 - 1)
        number += 1
    token = tokens.encode(last, MAX_PARTITIONS)
    assert len(tokens.decode(token)) == MAX_PARTITIONS
    assert len(token) <= 2048


@given(st.text(max_size=200))
@example("")
@example("AQ")
@example("é")
@example("AQgAAA==")
@example("\ud800")
def test_any_other_text_is_an_invalid_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.decode(text)


@given(st.binary(max_size=120))
@example(bytes((1, 8, 9)))
@example(bytes((1, 8, 2)) + bytes(16) + b"\xff\xff\xff\x7f")
@example(bytes((1, 8, 2)) + bytes(16) + b"\x01\xff\x01")
@example(bytes((1, 8, 0)) + bytes(16) + b"\x80")
@example(bytes((1, 0, 0)) + bytes(17))
@example(bytes((1, 65, 0)) + bytes(17))
def test_a_forged_token_with_a_right_checksum_is_refused_or_read_but_nothing_else(body: bytes) -> None:
    raw = body + zlib.crc32(body).to_bytes(4, "big")
    try:
        seen = tokens.decode(base64.urlsafe_b64encode(raw).decode())
    except InvalidToken:
        return
    assert all(0 <= one.partition < MAX_PARTITIONS and one.version >= 0 for one in seen)


@given(st.integers(0, 10_000))
def test_a_token_with_one_character_changed_is_refused(where: int) -> None:
    token = tokens.encode({3: (product_stream(UUID(int=7)), 12)}, 8)
    at = where % len(token)
    forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
    with pytest.raises(InvalidToken):
        tokens.decode(forged)
