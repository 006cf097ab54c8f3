"""The record of a parked key: small however much waits, and never silent about what it does not know."""

from projector import parking
from projector.parking import MOST_STREAMS


def names(count: int, first: int = 0) -> list[str]:
    return [f"rating-{number}" for number in range(first, first + count)]


def test_a_record_names_each_stream_once_and_counts_each_event() -> None:
    record = parking.park("a@1", "why", ["a", "b", "a"], 0.0).remember(["b", "c"])
    assert (record.streams, record.more, record.left_out) == (("a", "b", "c"), False, 5)
    assert record.waiting() == ("a", "b", "c")
    assert not record.may_wait("d")


def test_a_record_of_thousands_of_streams_stays_small_and_excuses_all() -> None:
    record = parking.park("a@1", "why", ["a"], 0.0)
    for number in range(5000):
        record = record.remember(names(1, number))
    assert len(record.encoded) < 5_000
    assert len(record.streams) == MOST_STREAMS
    assert record.waiting() is None
    assert record.may_wait("rating-0")
    assert record.may_wait("a")


def test_what_was_left_out_since_the_key_was_caught_up_is_known_while_it_is_little() -> None:
    record = parking.park("a@1", "why", names(5000), 0.0)
    later = record.remember(["rating-4990", "new"])
    assert later.waiting(record.left_out) == ("rating-4990", "new")
    assert record.waiting(record.left_out) == ()
    assert later.remember(names(200)).waiting(record.left_out) is None


def test_every_event_that_is_left_out_makes_another_record() -> None:
    record = parking.park("a@1", "why", ["a"], 0.0)
    assert record.remember(["a"]).encoded != record.encoded


def test_a_record_is_read_as_it_was_written() -> None:
    record = parking.park("a@1", "why", names(150), 7.5).failed_again("b@2", "again", 9.0)
    assert parking.decode(record.encoded) == record
    assert parking.decode(record.at_once().encoded).next_attempt == 0.0


def test_a_record_of_the_version_before_can_be_read() -> None:
    before = b'{"reason":"why","since":1.0,"attempts":2,"next_attempt":3.0,"streams":["a"],"seen":7}'
    record = parking.decode(before)
    assert (record.reason, record.streams, record.event, record.waiting()) == ("why", ("a",), "", ("a",))
