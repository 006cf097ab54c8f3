"""The record of a parked partition key: why its events wait, and which streams must be caught up from the log.

An event that can't be applied stops its partition key alone. Later events of the key are not applied; their streams
are remembered here, and all of them are redriven from the log in order, with backoff. A record stays small, however
many streams a key has: of more than `MOST_STREAMS` only the newest are named, and every stream of the key may wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import orjson

FIRST_RETRY: Final = 1.0
"""Seconds until a parked key is tried again; doubled with each failure."""

LONGEST_RETRY: Final = 300.0

MOST_STREAMS: Final = 100
"""Streams that a record names."""

_REASON_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Parked:
    """Why a key is parked and what it waits with. Times are Unix seconds."""

    reason: str
    since: float
    attempts: int
    next_attempt: float
    event: str = ""
    """The id of the event that can't be applied: the key stands before it."""
    streams: tuple[str, ...] = ()
    """Those whose events were left out, in the order in which they last were."""
    more: bool = False
    """There were more streams than are named: any of the key's may wait."""
    left_out: int = 0
    """How often an event was left out. It makes the record differ whenever another one has been."""

    @property
    def encoded(self) -> bytes:
        return orjson.dumps(self)

    def remember(self, streams: Sequence[str]) -> "Parked":
        """The record with the streams of more events that were left out, one for each event."""
        newest_first = dict.fromkeys((*reversed(streams), *reversed(self.streams)))
        kept = tuple(reversed(list(newest_first)[:MOST_STREAMS]))
        return replace(
            self,
            streams=kept,
            more=self.more or len(newest_first) > MOST_STREAMS,
            left_out=self.left_out + len(streams),
        )

    def waiting(self, caught_up: int | None = None) -> tuple[str, ...] | None:
        """The streams that may wait once everything was applied that was left out up to the `caught_up`th time.

        None when the record does not know them all.
        """
        if caught_up is not None and self.left_out - caught_up <= len(self.streams):
            return self.streams[len(self.streams) - (self.left_out - caught_up) :]
        return None if self.more else self.streams

    def may_wait(self, stream: str) -> bool:
        return self.more or stream in self.streams

    def failed_again(self, event: str, reason: str, now: float) -> "Parked":
        return replace(
            self,
            event=event,
            reason=reason[:_REASON_LENGTH],
            attempts=self.attempts + 1,
            next_attempt=now + min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self.attempts, 32)),
        )

    def at_once(self) -> "Parked":
        """The record of a key whose time has come."""
        return replace(self, next_attempt=0.0)


def park(event: str, reason: str, streams: Iterable[str], now: float) -> Parked:
    """A key's first failure, at `event`; `streams` has one for each event that waits."""
    return Parked(reason[:_REASON_LENGTH], now, 1, now + FIRST_RETRY, event).remember(tuple(streams))


def decode(record: bytes) -> Parked:
    """What a record says; what a record of another version of this code lacks is as if nothing were known of it."""
    known: dict[str, Any] = orjson.loads(record)
    named = {field.name: known[field.name] for field in fields(Parked) if field.name in known}
    return Parked(**{**named, "streams": tuple(named.get("streams", ()))})


@dataclass(frozen=True, slots=True)
class Redrive:
    """A try to apply what a parked key waits with. What is given comes from the log and leaves out nothing."""

    partition_key: str
    record: bytes
    """The key's record. The last step of a redrive counts only while it is still this one."""
    last: bool
    """With the events that are given, the log has no more for the key: success unparks it."""
