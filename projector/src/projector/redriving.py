"""Tries parked keys again: all that waits with a key comes from the log, in order, with growing pauses."""

import time
from operator import attrgetter

from chassis.logging import get_logger
from contracts.topology import partition_of
from projector import metrics, parking
from projector.feed import PAGE_EVENTS, Feed
from projector.healing import Healing
from projector.parking import Redrive
from projector.progress import Progress
from projector.script import Guard
from projector.store import Superseded

log = get_logger(__name__)


class Redriving:
    """Done by the leading walk in its own turn, so that nothing is unparked while the walk compares."""

    def __init__(self, feed: Feed, healing: Healing, progress: Progress, batch_events: int) -> None:
        self._feed = feed
        self._healing = healing
        self._progress = progress
        self._batch_events = batch_events
        self._cursor = 0

    async def some(self, guard: Guard) -> None:
        """Tries those of a handful of parked keys whose time has come; the next call goes on with others."""
        self._cursor, page = await self._progress.parked_page(self._cursor)
        now = time.time()
        for key, record in page.items():
            if parking.decode(record).next_attempt <= now:
                await self._try(key, record, guard)

    async def _try(self, key: str, record: bytes, guard: Guard) -> None:
        partition = partition_of(key, self._progress.partitions)
        streams = parking.decode(record).streams
        while True:
            versions = await self._progress.versions(streams)
            events, horizon = [], None
            for stream, version in zip(streams, versions, strict=True):
                page = await self._feed.stream(stream, version)
                events += page
                if len(page) == PAGE_EVENTS:
                    horizon = min(page[-1].position, horizon or page[-1].position)
            # Beyond the end of the shortest page, an event of its stream may be missing here.
            within = sorted((e for e in events if horizon is None or e.position <= horizon), key=attrgetter("position"))
            batch = within[: self._batch_events]
            last = horizon is None and len(batch) == len(within)
            try:
                changes = await self._healing.apply(partition, batch, guard, redrive=Redrive(key, record, last))
            except Superseded:
                metrics.REDRIVES.labels("superseded").inc()
                return
            if changes.poisoned:
                metrics.REDRIVES.labels("failed").inc()
                return
            if last:
                metrics.REDRIVES.labels("unparked").inc()
                log.info("key_unparked", partition_key=key, partition=partition, streams=len(streams))
                return
