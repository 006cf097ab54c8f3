"""The record of a parked partition key: why its events wait, and which streams must be caught up from the log.

An event that can't be applied stops its partition key alone. Later events of the key are not applied; their streams
are remembered here, and all of them are redriven from the log in order, with backoff.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

FIRST_RETRY: Final = 1.0
"""Seconds until a parked key is tried again; doubled with each failure."""

LONGEST_RETRY: Final = 300.0

_REASON_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Parked:
    """Why a key is parked and what it waits with. Times are Unix seconds."""

    reason: str
    since: float
    attempts: int
    next_attempt: float
    streams: tuple[str, ...]
    seen: int
    """The highest position seen of the key. It makes the record differ whenever another event has been left out."""

    @property
    def encoded(self) -> bytes:
        return orjson.dumps(self)

    def remember(self, streams: Iterable[str], position: int) -> "Parked":
        """The record with the streams of more events that were left out, up to `position`."""
        merged = tuple(dict.fromkeys((*self.streams, *streams)))
        return replace(self, streams=merged, seen=max(self.seen, position))

    def failed_again(self, reason: str, now: float) -> "Parked":
        return replace(
            self,
            reason=reason[:_REASON_LENGTH],
            attempts=self.attempts + 1,
            next_attempt=now + min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self.attempts, 32)),
        )


def park(reason: str, streams: Iterable[str], position: int, now: float) -> Parked:
    """A key's first failure."""
    return Parked(reason[:_REASON_LENGTH], now, 1, now + FIRST_RETRY, tuple(dict.fromkeys(streams)), position)


def decode(record: bytes) -> Parked:
    fields: dict[str, Any] = orjson.loads(record)
    return Parked(**{**fields, "streams": tuple(fields["streams"])})


@dataclass(frozen=True, slots=True)
class Redrive:
    """A try to apply what a parked key waits with. It counts only while the key's record is still `record`."""

    partition_key: str
    record: bytes
    last: bool
    """With the events that are given, the log has no more for the key: success unparks it."""
