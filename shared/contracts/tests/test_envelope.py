"""The envelope: what is published is what the log gives, and what is no event is refused as such."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import envelope
from contracts.envelope import Metadata, RecordedEvent, UnreadableMessage

_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_moments = st.datetimes(timezones=st.just(UTC)).map(envelope.rfc3339)


@st.composite
def recorded_events(draw: st.DrawFn) -> RecordedEvent:
    recorded_at = draw(_moments)
    effective_at = draw(st.none() | _moments.filter(lambda moment: moment != recorded_at))
    return RecordedEvent(
        position=draw(st.integers(1, 2**63 - 1)),
        stream_id=f"product-{draw(st.uuids())}",
        version=draw(st.integers(1, 2**31 - 1)),
        partition_key=draw(_text),
        type=draw(_text),
        schema_version=draw(st.integers(1, 99)),
        data=draw(st.dictionaries(_text, st.none() | _text | st.integers(-(2**63), 2**63 - 1), max_size=4)),
        time=effective_at or recorded_at,
        recorded_at=recorded_at,
        metadata=Metadata(
            *(draw(_text) for _ in range(4)), draw(st.none() | _text), draw(st.none() | _text), effective_at
        ),
    )


@given(st.lists(recorded_events(), max_size=3))
def test_a_batch_of_events_comes_back_as_it_was(events: list[RecordedEvent]) -> None:
    assert envelope.decode_batch(envelope.encode_batch(envelope.encode(e).decode() for e in events)) == events


@given(st.lists(recorded_events(), min_size=1, max_size=5))
def test_a_subscriber_of_one_kind_of_stream_gets_the_events_of_that_kind(products: list[RecordedEvent]) -> None:
    orders = [event._replace(stream_id=event.stream_id.replace("product-", "order-")) for event in products]
    body = envelope.encode_batch(envelope.encode(e).decode() for e in (*products, *orders))
    assert envelope.decode_batch(body, "order") == orders
    assert envelope.decode_batch(body, "inventory") == []
    with pytest.raises(UnreadableMessage):
        envelope.decode_batch(b'[{"specversion": "1.0"}]', "order")


@given(recorded_events(), st.sets(st.sampled_from(["product", "inventory", "order", "rating"]), min_size=1), _text)
def test_the_kinds_of_streams_in_a_batch_are_found_without_parsing_it(
    event: RecordedEvent, kinds: set[str], written: str
) -> None:
    by_users = f'{written}","subject":"stockalert-'
    events = [
        event._replace(stream_id=f"{kind}-1-{by_users}", partition_key=by_users, data={"name": by_users, by_users: ""})
        for kind in kinds
    ]
    assert envelope.kinds_in(envelope.encode_batch(envelope.encode(e).decode() for e in events)) == kinds


def test_times_are_utc_with_microseconds_and_sort_as_text() -> None:
    moment = datetime(2026, 11, 21, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert envelope.rfc3339(moment) == "2026-11-21T10:00:00.000000Z"
    assert envelope.rfc3339(moment) < envelope.rfc3339(moment + timedelta(microseconds=1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[1]",
        b"[{}]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 10_000,
        b'[{"sequence":NaN}]',
    ],
)
def test_a_message_that_is_no_batch_of_events_is_unreadable_and_nothing_else(body: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        envelope.decode_batch(body)


_VALID = {
    "sequence": "7",
    "subject": "product-x",
    "streamversion": 1,
    "partitionkey": "x",
    "type": "ProductAdded",
    "schemaversion": 1,
    "data": {},
    "time": "t",
    "recordedtime": "t",
    "command": "c",
    "commandid": "i",
    "correlationid": "o",
    "causationid": "a",
}


@pytest.mark.parametrize("name", _VALID)
@pytest.mark.parametrize("wrong", [None, [], True, 1.5, 0, -1, "", {"a": 1}], ids=repr)
def test_an_event_whose_attribute_is_of_the_wrong_type_is_unreadable(name: str, wrong: object) -> None:
    if type(wrong) is type(_VALID[name]) and name not in ("sequence", "streamversion"):
        return
    with pytest.raises(UnreadableMessage):
        envelope.decode_batch(orjson.dumps([{**_VALID, name: wrong}]))


@pytest.mark.parametrize("name", _VALID)
def test_an_event_that_lacks_an_attribute_is_unreadable(name: str) -> None:
    assert envelope.decode(_VALID).position == 7
    with pytest.raises(UnreadableMessage):
        envelope.decode({key: value for key, value in _VALID.items() if key != name})
