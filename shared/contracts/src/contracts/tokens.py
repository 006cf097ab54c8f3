"""Consistency tokens: what a command tells a later query to have seen.

A token names, for each partition that the command touched, the stream and version of its last event there. Events of
one command in one partition are applied in order, so the last stands for all. It is opaque to clients: base64url of a
compact binary form with a checksum, at most 2 KB for the largest number of partitions.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts import streams
from contracts.topology import MAX_PARTITIONS, partition_of

_FORMAT: Final = 1
_KINDS: Final = ("product", "inventory", "rating", "order", "stockalert")
_UUID_BYTES: Final = 16
_UUID_LENGTH: Final = 36


class InvalidToken(ValueError):
    """The text is no token that this version of Stockroom made."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream must have been applied up to `version`; nothing of `partition` may be parked."""

    partition: int
    stream_id: str
    version: int


def encode(last_events: dict[int, tuple[str, int]], partitions: int) -> str:
    """The token for {partition: (stream id, version)}; `partitions` is how many the system has."""
    body = bytearray((_FORMAT, partitions))
    for stream_id, version in last_events.values():
        _write_stream(body, stream_id)
        _write_number(body, version)
    body += zlib.crc32(body).to_bytes(4, "big")
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode(token: str) -> list[Seen]:
    """What the token asks for.

    Raises:
        InvalidToken: the text is no token.
    """
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        body, checksum = raw[:-4], raw[-4:]
        if len(body) < 2 or zlib.crc32(body).to_bytes(4, "big") != checksum or body[0] != _FORMAT:
            raise InvalidToken("not a consistency token")
        partitions = body[1]
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise InvalidToken("not a consistency token")
        seen, at = [], 2
        while at < len(body):
            stream_id, at = _read_stream(body, at)
            version, at = _read_number(body, at)
            seen.append(Seen(partition_of(streams.partition_key_of(stream_id), partitions), stream_id, version))
        return seen
    except (binascii.Error, IndexError, ValueError) as error:
        raise InvalidToken("not a consistency token") from error


def _write_stream(body: bytearray, stream_id: str) -> None:
    kind = streams.kind_of(stream_id)
    start = len(kind) + 1
    rest = stream_id[start + _UUID_LENGTH :].encode()
    body.append(_KINDS.index(kind))
    body += bytes.fromhex(stream_id[start : start + _UUID_LENGTH].replace("-", ""))
    if kind == "rating":
        _write_number(body, len(rest))
        body += rest


def _read_stream(body: bytes, at: int) -> tuple[str, int]:
    kind = _KINDS[body[at]]
    at += 1
    stream_id = f"{kind}-{UUID(bytes=bytes(body[at : at + _UUID_BYTES]))}"
    at += _UUID_BYTES
    if kind == "rating":
        length, at = _read_number(body, at)
        stream_id += body[at : at + length].decode()
        at += length
    return stream_id, at


def _write_number(body: bytearray, number: int) -> None:
    """Little-endian base 128, as in Protocol Buffers' varint."""
    while number >= 0x80:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)


def _read_number(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while body[at] & 0x80:
        number |= (body[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | body[at] << shift, at + 1
