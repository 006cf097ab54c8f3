"""A tap hears what went over the wire, however it was cut into pieces."""

import struct
from collections.abc import Callable, Sequence

import pytest

from taps import Dialogue, Postgres, RabbitMQ, Redis, RoundTrip


def postgres(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">i", 4 + len(body)) + body


def startup() -> bytes:
    body = struct.pack(">i", 196608) + b"user\0stockroom\0application_name\0tested\0\0"
    return struct.pack(">i", 4 + len(body)) + body


SSL = struct.pack(">ii", 8, 80877103)
READY = postgres(b"Z", b"I")
EXECUTE = postgres(b"B", b"\0\0") + postgres(b"E", b"\0\0\0\0\0") + postgres(b"S")
CLIENT, SERVER = 0, 1

Said = Sequence[tuple[int, bytes]]


def heard(make: Callable[[list[RoundTrip]], Dialogue], said: Said, piece: int) -> list[RoundTrip]:
    trips: list[RoundTrip] = []
    dialogue = make(trips)
    for side, data in said:
        hear = dialogue.from_client if side == CLIENT else dialogue.from_server
        for start in range(0, len(data), piece):
            hear(data[start : start + piece])
    return trips


def method(cls: int, number: int, rest: bytes = b"") -> bytes:
    return struct.pack(">BHI", 1, 1, 4 + len(rest)) + struct.pack(">HH", cls, number) + rest + b"\xce"


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_round_trip_to_postgres_is_all_that_is_sent_before_its_answer(piece: int) -> None:
    said = [
        (CLIENT, SSL),
        (SERVER, b"N"),
        (CLIENT, startup()),
        (SERVER, postgres(b"R", b"\0\0\0\0") + postgres(b"S", b"a\0b\0") + READY),
        (CLIENT, postgres(b"Q", b"BEGIN; SELECT 1\0")),
        (SERVER, postgres(b"C", b"BEGIN\0") + postgres(b"C", b"SELECT 1\0") + READY),
        (SERVER, postgres(b"A", b"\0\0\0\0told\0\0")),
        (CLIENT, postgres(b"P", b"\0SELECT\0") + postgres(b"D", b"S\0") + postgres(b"S")),
        (SERVER, postgres(b"1") + READY),
        (CLIENT, EXECUTE + EXECUTE),
        (SERVER, postgres(b"2") + postgres(b"C", b"INSERT 0 1\0") + READY),
        (SERVER, postgres(b"A", b"\0\0\0\0told\0\0") + postgres(b"C", b"UPDATE 1\0") + READY),
        (CLIENT, postgres(b"X")),
    ]
    trips = heard(Postgres, said, piece)
    assert [trip.said for trip in trips] == [["BEGIN", "SELECT 1"], [], ["INSERT 0 1", "UPDATE 1"]]
    assert {trip.by for trip in trips} == {"tested"}


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_round_trip_to_redis_is_all_commands_that_are_sent_before_an_answer(piece: int) -> None:
    said = [
        (CLIENT, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
        (SERVER, b"$-1\r\n"),
        (CLIENT, b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nexec\r\n"),
        (SERVER, b"+OK\r\n-ERR no\r\n"),
        (CLIENT, b"*2\r\n$4\r\nMGET\r\n$1\r\na\r\n"),
    ]
    assert [trip.said for trip in heard(Redis, said, piece)] == [["GET"], ["MULTI", "EXEC"], ["MGET"]]


def test_a_subscription_to_redis_is_left_out() -> None:
    said = [
        (CLIENT, b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"),
        (SERVER, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"),
        (CLIENT, b"*1\r\n$4\r\nPING\r\n"),
    ]
    assert heard(Redis, said, 10_000) == []


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_messages_of_rabbitmq_are_told_apart_by_who_sent_them(piece: int) -> None:
    content = (
        struct.pack(">BHI", 2, 1, 3) + b"abc\xce" + struct.pack(">BHI", 3, 1, 8) + b"\x01\x00\x00" * 2 + b"\0\0\xce"
    )
    said = [
        (CLIENT, b"AMQP\x00\x00\x09\x01" + method(10, 11)),
        (SERVER, method(10, 10)),
        (CLIENT, method(60, 40, b"x") + content),
        (SERVER, method(60, 80, b"\0" * 9) + method(60, 60, b"y") + content),
        (CLIENT, method(60, 80, b"\0" * 9)),
    ]
    assert [trip.said for trip in heard(RabbitMQ, said, piece)] == [["publish"], ["confirm"], ["deliver"], ["ack"]]
