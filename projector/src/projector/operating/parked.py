"""Parked keys, as operators see them, and what they may do with them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from redis.asyncio import Redis

from contracts import streams
from contracts.envelope import RecordedEvent
from contracts.keys import LIVE, Generation
from contracts.topology import partition_of
from projector import parking
from projector.feed import Feed, Refused
from projector.parking import Parked
from projector.progress import Progress
from projector.script import CompareAndApply, Request, Verdict
from projector.store import GuardLost
from projector.waiting import WaitingEvents


class KeyNotParked(Exception):
    """The key is not parked: there is nothing to redrive or to discard."""


class EventNotPoisoned(Exception):
    """No key stands before this event: only what blocks a key may be discarded."""


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A key that waits for an event that can't be applied. Times are RFC 3339."""

    key: str
    kind: Literal["product", "order"]
    partition: int
    since: str
    attempts: int
    next_attempt: str
    streams: int
    """How many are known to wait."""
    more_streams: bool
    """Any other stream of the key may wait as well."""
    event_id: str
    """The event that can't be applied."""
    reason: str


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event of a parked key that is not applied."""

    position: int
    event_id: str
    type: str
    schema_version: int
    recorded_at: str
    is_poison: bool
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParkedDetails:
    """A parked key with the first events that wait, in the order of the log."""

    parked: ParkedKey
    waiting: list[WaitingEvent]
    more: bool
    """More events wait, or may wait."""


class ParkedKeys:
    """The parked keys of one generation.

    Every method may raise `FeedUnavailable`, redis.exceptions.RedisError and OSError.
    """

    def __init__(self, redis: Redis, feed: Feed, progress: Progress) -> None:
        self._redis = redis
        self._feed = feed
        self._progress = progress
        self._waiting = WaitingEvents(feed, progress)
        self._script = CompareAndApply(redis)

    async def page(self, cursor: int = 0) -> tuple[int, list[ParkedKey]]:
        """Some of the parked keys and where to go on; 0 is the beginning and the end.

        A key that is parked all the time comes at least once.
        """
        cursor, records = await self._progress.parked_page(cursor)
        return cursor, [self._seen(key, parking.decode(record)) for key, record in records.items()]

    async def all(self) -> AsyncIterator[ParkedKey]:
        cursor, seen = 0, set[str]()
        while True:
            cursor, page = await self.page(cursor)
            for parked in page:
                if parked.key not in seen:
                    seen.add(parked.key)
                    yield parked
            if cursor == 0:
                return

    async def find(self, key: str) -> ParkedKey:
        """Raises `KeyNotParked`."""
        return self._seen(key, parking.decode(await self._record(key)))

    async def details(self, key: str, limit: int) -> ParkedDetails:
        """A key with at most `limit` of the events that wait in those streams that its record names.

        Raises:
            KeyNotParked
        """
        record = parking.decode(await self._record(key))
        first = dict.fromkeys((record.event.rpartition("@")[0], *record.streams))
        waiting = await self._waiting.first(key, tuple(stream for stream in first if stream), limit)
        events = [_shown(event, record.event) for event in waiting.events[:limit]]
        more = record.more or not waiting.is_all or len(waiting.events) > limit
        return ParkedDetails(self._seen(key, record), events, more)

    async def redrive(self, key: str) -> ParkedKey:
        """Has the leading walk try a key at once. The key as it was before that try.

        Raises:
            KeyNotParked
            GuardLost: the generation is gone, or was made by another version of this code.
        """
        while True:
            before = await self._record(key)
            parked = parking.decode(before)
            request = Request(guard=self._progress.ours, fields=[(self._progress.generation.parked, key, before)])
            request.commands = [["HSET", self._progress.generation.parked, key, parked.at_once().encoded]]
            verdict = await self._script(request)
            if verdict is Verdict.GUARDED:
                raise GuardLost
            if verdict is Verdict.APPLIED:
                return self._seen(key, parked)

    async def discard(self, event_id: str, reason: str) -> ParkedKey:
        """Has the event that a key is parked at count as applied without effect, for ever, and redrives the key.

        Raises:
            KeyNotParked, EventNotPoisoned, GuardLost
        """
        key = key_of(event_id)
        parked = await self.find(key)
        if parked.event_id != event_id:
            raise EventNotPoisoned(f"{key} is parked at {parked.event_id}, not at {event_id}")
        try:
            await self._feed.discard(event_id, reason)
        except Refused as refusal:
            raise EventNotPoisoned(str(refusal)) from refusal
        return await self.redrive(key)

    async def is_led(self) -> bool:
        """Whether a projector leads the walk of this generation: that is who redrives."""
        return bool(await self._redis.exists(f"{self._progress.generation.prefix}walk"))

    async def _record(self, key: str) -> bytes:
        record = (await self._progress.parked([key])).get(key)
        if record is None:
            raise KeyNotParked(f"{key} is not parked")
        return record

    def _seen(self, key: str, record: Parked) -> ParkedKey:
        return ParkedKey(
            key=key,
            kind="order" if streams.kind_of(record.event or "".join(record.streams[:1])) == "order" else "product",
            partition=partition_of(key, self._progress.partitions),
            since=_moment(record.since),
            attempts=record.attempts,
            next_attempt=_moment(record.next_attempt),
            streams=len(record.streams),
            more_streams=record.more,
            event_id=record.event,
            reason=record.reason,
        )


async def parked_keys(redis: Redis, feed: Feed, generation: int | None = None) -> ParkedKeys:
    """Those of a generation; of the one that is read when none is named."""
    system = await feed.system()
    if generation is None:
        generation = int(await redis.get(LIVE) or (await feed.generations()).live)
    return ParkedKeys(redis, feed, Progress(redis, Generation(generation), system.partitions, system.currency))


def key_of(event_id: str) -> str:
    """The key that an event belongs to. Raises `EventNotPoisoned` when that is no event's id."""
    stream, at, version = event_id.rpartition("@")
    if not (at and "-" in stream and version.isdecimal()):
        raise EventNotPoisoned(f"{event_id} is no event's id, which is <stream>@<version>")
    return streams.partition_key_of(stream)


def _shown(event: RecordedEvent, poison: str) -> WaitingEvent:
    return WaitingEvent(
        position=event.position,
        event_id=event.id,
        type=event.type,
        schema_version=event.schema_version,
        recorded_at=event.recorded_at,
        is_poison=event.id == poison,
        data=event.data,
    )


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
