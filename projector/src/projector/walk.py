"""The walk: compares the read model with the log, again and again, and brings what is lost.

A stream's last event leaves no gap when it is lost, so nobody else would notice. The walk goes along the heads of the
log's streams from a checkpoint that stands in Redis beside the state itself, and moves it only behind what it has
found applied. What is missing may still be in the queues: it is left alone while its partition gets on.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from chassis.logging import get_logger
from contracts import streams
from projector import metrics, parking
from projector.feed import Feed, FeedUnavailable, Head
from projector.healing import MOST_STREAMS, Healing, TooFarBehind
from projector.lease import Lease
from projector.progress import Progress, Standing
from projector.redis_client import UNREACHABLE
from projector.redriving import Redriving
from projector.repair import repair
from projector.script import Guard
from projector.store import Gap, GuardLost, Superseded

log = get_logger(__name__)

PASSING = (*UNREACHABLE, FeedUnavailable, GuardLost, Gap, Superseded, TooFarBehind)
"""What ends a walk without being anybody's fault: the next one begins anew."""


@dataclass(slots=True)
class _Pending:
    """A range of the log up to `until` of which `missing` was not applied yet when we last looked."""

    until: int
    server: str
    missing: list[Head]


@dataclass(slots=True)
class _Memory:
    """What the last walk saw, to tell what has moved since."""

    server: str = ""
    applied: tuple[int, ...] = field(default=())
    checkpoint: int = 0

    def lost_since(self, now: Standing) -> bool:
        """Whether Redis has an older state than it had: restarted without its last writes, or an old copy."""
        behind = any(position < before for position, before in zip(now.applied, self.applied, strict=False))
        return behind or now.checkpoint < self.checkpoint


class Walk:
    def __init__(
        self, feed: Feed, healing: Healing, progress: Progress, redriving: Redriving, lease: Lease, interval: float
    ) -> None:
        self._feed = feed
        self._healing = healing
        self._progress = progress
        self._redriving = redriving
        self._lease = lease
        self._interval = interval
        self._memory = _Memory()
        self._pending: _Pending | None = None
        self._wake = asyncio.Event()
        self._urgent = False

    def wake(self, *, urgent: bool = False) -> None:
        """Walks at once; when urgent, what is missing is brought without waiting for the queues."""
        self._urgent |= urgent
        self._wake.set()

    async def run(self) -> None:
        """Walks for ever, whatever can't be reached meanwhile."""
        keeping = asyncio.create_task(self._lease.keep())
        try:
            while True:
                await self.once()
                try:
                    async with asyncio.timeout(self._interval):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def once(self) -> None:
        """One walk. Nothing that passes by itself is raised."""
        try:
            outcome = await self._once()
        except PASSING as error:
            self._pending = None
            outcome = "failed"
            log.warning("walk_failed", reason=f"{type(error).__name__}: {error}")
        metrics.WALKS.labels(outcome).inc()

    async def _once(self) -> str:
        leading = await self._lease.take()
        standing = await self._progress.standing()
        memory, self._memory = self._memory, _Memory(standing.server, standing.applied, standing.checkpoint)
        _observe(standing, leading)
        if not leading:
            self._pending = None
            return "following"
        if not standing.live:
            await self._progress.point_live_here()
        lease = self._lease.guard
        if standing.whole and memory.lost_since(standing):
            log.error("redis_lost_writes", checkpoint=standing.checkpoint)
            await self._progress.mark_broken(lease)
        elif standing.whole:
            guard = (*lease, (self._progress.generation.complete, ""))
            await self._redriving.some(guard)
            await self._compare(standing, memory, guard)
            return "compared"
        self._pending = None
        await repair(self._healing, self._progress, standing, lease)
        metrics.WHOLE.set(1)
        self._wake.set()
        return "repaired"

    async def _compare(self, standing: Standing, memory: _Memory, guard: Guard) -> None:
        urgent, self._urgent = self._urgent, False
        checkpoint = standing.checkpoint
        pending = self._pending
        if pending is not None and pending.server != standing.server:
            # A restarted server may have lost what was found there.
            pending = self._pending = None
        if pending is not None:
            pending.missing = await self._missing(pending.missing)
            lost = [h for h in pending.missing if urgent or _is_lost(h, standing, memory)]
            if lost:
                await self._bring(lost, checkpoint, pending.until, guard)
                pending.missing = await self._missing(pending.missing)
            if pending.missing:
                _observe_lag(pending.missing, standing, pending.until)
                return
            await self._progress.move_checkpoint(checkpoint, pending.until, standing.server, guard)
            checkpoint, self._pending = pending.until, None
        while True:
            page = await self._feed.heads(checkpoint)
            missing = await self._missing(page.heads)
            if missing and urgent:
                await self._bring(missing, checkpoint, page.until, guard)
                missing = await self._missing(missing)
            _observe_lag(missing, standing, page.settled)
            if missing:
                self._pending = _Pending(page.until, standing.server, missing)
                return
            if page.until > checkpoint:
                await self._progress.move_checkpoint(checkpoint, page.until, standing.server, guard)
            if page.until >= page.settled or page.until <= checkpoint:
                return
            checkpoint = page.until

    async def _missing(self, heads: list[Head]) -> list[Head]:
        """Those heads that are not applied, and that no parked record remembers."""
        missing = [head for head, _version in await self._healing.behind(heads)]
        keys = list({streams.partition_key_of(head.stream_id) for head in missing})
        records = {key: parking.decode(record) for key, record in (await self._progress.parked(keys)).items()}
        return [h for h in missing if not _is_excused(h, records)]

    async def _bring(self, lost: list[Head], after: int, until: int, guard: Guard) -> None:
        """Applies what is lost; in each partition in the order of the log, so that no event overtakes another."""
        log.warning("lost_events_found", streams=len(lost))
        versions = await self._progress.versions([head.stream_id for head in lost])
        partitions: dict[int, dict[str, int]] = {}
        for head, version in zip(lost, versions, strict=True):
            partitions.setdefault(head.partition, {})[head.stream_id] = version
        try:
            if len(lost) > MOST_STREAMS:
                raise TooFarBehind(f"{len(lost)} streams are behind")
            for partition, missing in partitions.items():
                await self._healing.bring(partition, missing, guard)
                metrics.GAPS_HEALED.inc(len(missing))
        except TooFarBehind as reason:
            log.warning("replaying_the_log", reason=str(reason), after=after, until=until)
            async with aclosing(self._healing.replay(after, guard)) as steps:
                async for position, _settled in steps:
                    if position >= until:
                        break


def _is_lost(head: Head, standing: Standing, memory: _Memory) -> bool:
    """Whether a head that the walk before this one has missed already won't come by the queues any more."""
    if head.partition >= len(memory.applied):
        return False
    before = memory.applied[head.partition]
    return before >= head.position or standing.applied[head.partition] == before


def _is_excused(head: Head, records: dict[str, parking.Parked]) -> bool:
    record = records.get(streams.partition_key_of(head.stream_id))
    return record is not None and head.stream_id in record.streams


def _observe(standing: Standing, leading: bool) -> None:
    metrics.LEADING.set(leading)
    metrics.WHOLE.set(standing.whole)
    for partition, count in enumerate(standing.parked):
        metrics.PARKED.labels(str(partition)).set(count)


def _observe_lag(missing: list[Head], standing: Standing, settled: int) -> None:
    lagging = {head.partition for head in missing}
    for partition, applied in enumerate(standing.applied):
        behind = max(1, settled - applied) if partition in lagging else 0
        metrics.LAG_EVENTS.labels(str(partition)).set(behind)
