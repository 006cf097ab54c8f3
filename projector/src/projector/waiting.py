"""What waits with a parked key, as the log has it."""

import heapq
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from contracts.envelope import RecordedEvent
from contracts.streams import partition_key_of
from contracts.topology import partition_of
from projector.feed import PAGE_EVENTS, Feed
from projector.progress import Progress

MOST_EVENTS: Final = 10_000
"""Events of one key that are held in memory."""

_PAGE: Final = 5_000
_POSITION: Final = attrgetter("position")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The first events that wait, in the order of the log."""

    events: list[RecordedEvent]
    is_all: bool


class WaitingEvents:
    """Finds what the log has of a key and the read model does not."""

    def __init__(self, feed: Feed, progress: Progress) -> None:
        self._feed = feed
        self._progress = progress

    async def upto(self, event_id: str) -> list[RecordedEvent]:
        """What waits of an event's stream up to it, at most a page; nothing when the log has no such event."""
        stream, _, version = event_id.rpartition("@")
        if not stream:
            return []
        [have] = await self._progress.versions([stream])
        page = await self._feed.stream(stream, have)
        return [event for event in page if event.version <= int(version)]

    async def first(self, key: str, streams: tuple[str, ...] | None, at_least: int = PAGE_EVENTS) -> Waiting:
        """The first that wait of some streams of a key; of all of them when `streams` is None.

        These are all, or no less than `at_least`, which is a page at most.
        """
        return await (self._of_key(key) if streams is None else self._of_streams(key, streams, at_least))

    async def _of_streams(self, key: str, streams: tuple[str, ...], size: int) -> Waiting:
        events: list[RecordedEvent] = []
        horizon: int | None = None
        for stream, version in zip(streams, await self._progress.versions(streams), strict=True):
            # Whoever forges an event can give it any key.
            page = [event for event in await self._feed.stream(stream, version, size) if event.partition_key == key]
            events += page
            if len(page) == size:
                horizon = min(page[-1].position, horizon or page[-1].position)
        # Beyond the end of the shortest page, an event of its stream may be missing here.
        within = sorted((e for e in events if horizon is None or e.position <= horizon), key=_POSITION)
        return Waiting(within, horizon is None)

    async def _of_key(self, key: str) -> Waiting:
        """Looks at the key's whole log, and keeps the first that wait: the log has no order of a key's positions."""
        first: list[RecordedEvent] = []
        is_all = True
        partition = partition_of(key, self._progress.partitions)
        # No stream's id begins with a hyphen: all of the key's stand behind this place. A key without one is forged.
        before = f"-{key}"
        after = f"{before}@1" if partition_key_of(before) == key else None
        while after is not None:
            page = await self._feed.partition_events(partition, after, _PAGE)
            its = [event for event in page if event.partition_key == key]
            after = its[-1].id if len(its) == _PAGE else None
            versions = dict.fromkeys(event.stream_id for event in its)
            have = dict(zip(versions, await self._progress.versions(list(versions)), strict=True))
            first += (event for event in its if event.version > have[event.stream_id])
            if len(first) > MOST_EVENTS:
                first, is_all = heapq.nsmallest(MOST_EVENTS, first, key=_POSITION), False
        return Waiting(sorted(first, key=_POSITION), is_all)
