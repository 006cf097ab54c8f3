"""Brings missing events from the log, and applies them through the same gate as those from the broker."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from operator import attrgetter
from typing import Final, NamedTuple

from chassis.logging import get_logger
from chassis.tasks import end
from contracts.envelope import RecordedEvent
from contracts.topology import partition_of
from projector import metrics, witness
from projector.feed import PAGE_EVENTS, EventsPage, Feed, Head
from projector.folding import Changes
from projector.parking import Redrive
from projector.progress import Progress
from projector.script import Guard
from projector.store import Gap, Store

log = get_logger(__name__)

MOST_STREAMS: Final = 100
"""Streams that are healed one by one; more are healed by replaying the log."""

MOST_EVENTS: Final = 10_000
"""Events that are held in memory for healing."""

PAGES_AHEAD: Final = 6


class Replayed(NamedTuple):
    """How far the replay of the log has come."""

    position: int
    witness: str
    """The identity of the last event that was applied; empty when there was none."""
    settled: int


class TooFarBehind(Exception):
    """So much is missing that the walk must replay the log."""


class NotSettled(Exception):
    """The log has what is missing, but maybe not all before it yet: it passes when the transactions have ended."""


class Healing:
    def __init__(self, feed: Feed, store: Store, progress: Progress, batch_events: int) -> None:
        self._feed = feed
        self._store = store
        self._progress = progress
        self._batch_events = batch_events

    async def apply(
        self,
        partition: int,
        events: Sequence[RecordedEvent],
        guard: Guard,
        *,
        redrive: Redrive | None = None,
        behind_too: bool = False,
    ) -> Changes:
        """Applies events of one partition, healing the gaps before them first.

        A gap means that something before these events was lost, maybe more than the stream that shows it. With
        `behind_too`, all that the partition misses before them is healed with it, so that events never overtake each
        other and a token of the last of them never promises what is missing still.

        Raises:
            TooFarBehind: too much is missing.
            NotSettled: with `behind_too`, what is missing before these events can't be told yet.
            GuardLost, Superseded, FeedUnavailable, redis.exceptions.RedisError, OSError: as their sources say.
        """
        unhealable: frozenset[str] = frozenset()
        while True:
            try:
                return await self._store.apply(partition, events, guard, redrive=redrive, unhealable=unhealable)
            except Gap as gap:
                missing, last = dict(gap.versions), max(event.position for event in events)
                until = last
                if behind_too:
                    behind, until = await self._behind(partition, last)
                    missing |= behind
                found = await self.fetch(missing, last)
                await self._apply_in_order(partition, [event for event in found if event.position <= until], guard)
                if any(e.position > until and e.version < gap.streams.get(e.stream_id, 0) for e in found):
                    raise NotSettled from None
                healed = {event.stream_id: event.version for event in found}
                # What the log does not have can't be healed: the event that claims to follow it is poison.
                unhealable |= {s for s, came in gap.streams.items() if healed.get(s, gap.versions[s]) < came - 1}
                metrics.GAPS_HEALED.inc(len(gap.streams))
                log.warning("gap_healed", partition=partition, streams=len(missing), unhealable=len(unhealable))

    async def bring(self, partition: int, missing: Mapping[str, int], guard: Guard, upto: int) -> None:
        """Applies what the log has of `missing` streams (→ the version they have) up to a position, in its order.

        Raises as `apply` does, but for gaps that it does not heal.
        """
        await self._apply_in_order(partition, await self.fetch(missing, upto), guard)

    async def _apply_in_order(self, partition: int, events: list[RecordedEvent], guard: Guard) -> None:
        for start in range(0, len(events), self._batch_events):
            await self._store.apply(partition, events[start : start + self._batch_events], guard)

    async def fetch(self, missing: Mapping[str, int], upto: int) -> list[RecordedEvent]:
        """The events that follow the given versions of streams, up to a position, in the order of the log.

        Raises:
            TooFarBehind: these are too many.
        """
        if len(missing) > MOST_STREAMS:
            raise TooFarBehind(f"{len(missing)} streams are behind")
        events: list[RecordedEvent] = []
        for stream, version in missing.items():
            page = await self._feed.stream(stream, version)
            events += (event for event in page if event.position <= upto)
            if len(events) > MOST_EVENTS or (len(page) == PAGE_EVENTS and page[-1].position < upto):
                raise TooFarBehind(f"{stream} is far behind")
        events.sort(key=attrgetter("position"))
        return events

    async def replay(self, after: int, guard: Guard) -> AsyncGenerator[Replayed, None]:
        """Applies the log from `after` on to its settled end; tells after each step how far it is.

        Pages are fetched ahead while earlier ones are applied.
        """
        last = ""
        async with aclosing(self._pages(after)) as pages:
            async for page in pages:
                if page.events:
                    await self._apply_page(page.events, guard)
                    after, last = page.events[-1].position, witness.identity(page.events[-1])
                yield Replayed(after, last, page.settled)

    async def _pages(self, after: int) -> AsyncGenerator[EventsPage, None]:
        """All that was fetched ahead, joined; an empty page is the last."""
        ahead: asyncio.Queue[EventsPage] = asyncio.Queue(PAGES_AHEAD)
        fetching = asyncio.create_task(self._fetch_ahead(after, ahead))
        try:
            while True:
                getting = asyncio.create_task(ahead.get())
                await asyncio.wait((getting, fetching), return_when=asyncio.FIRST_COMPLETED)
                if not getting.done() and ahead.empty():
                    getting.cancel()
                    fetching.result()
                page = await getting
                events, settled = page.events, page.settled
                while page.events and not ahead.empty():
                    page = ahead.get_nowait()
                    events, settled = events + page.events, page.settled
                yield EventsPage(settled, events)
                if not page.events:
                    return
        finally:
            await end(fetching)

    async def _fetch_ahead(self, after: int, ahead: "asyncio.Queue[EventsPage]") -> None:
        while True:
            page = await self._feed.events(after)
            await ahead.put(page)
            if not page.events:
                return
            after = page.events[-1].position

    async def _apply_page(self, events: list[RecordedEvent], guard: Guard) -> None:
        partitions: dict[int, list[RecordedEvent]] = {}
        for event in events:
            partitions.setdefault(partition_of(event.partition_key, self._progress.partitions), []).append(event)
        # All are awaited before one's failure is told: nothing goes on behind the back of whoever handles it.
        applied = await asyncio.gather(
            *(self.apply(partition, its, guard) for partition, its in partitions.items()), return_exceptions=True
        )
        for result in applied:
            if isinstance(result, BaseException):
                raise result

    async def behind(self, heads: Sequence[Head]) -> list[tuple[Head, int]]:
        """The heads that the read model has not reached, each with the version that it has."""
        versions = await self._progress.versions([head.stream_id for head in heads])
        return [(head, version) for head, version in zip(heads, versions, strict=True) if version < head.version]

    async def _behind(self, partition: int, upto: int) -> tuple[dict[str, int], int]:
        """What a partition misses of the log up to a position: stream → the version that it has.

        And how far that is known: the log may not be settled up to there yet.
        """
        missing: dict[str, int] = {}
        after = await self._progress.checkpoint()
        while after < upto:
            page = await self._feed.heads(after, upto - after)
            heads = [head for head in page.heads if head.partition == partition]
            missing |= {head.stream_id: version for head, version in await self.behind(heads)}
            if len(missing) > MOST_STREAMS:
                raise TooFarBehind(f"{len(missing)} streams are behind")
            after = max(after, page.until)
            if page.until >= page.settled:
                break
        return missing, after
