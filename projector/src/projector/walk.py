"""The walk: compares the read model with the log, again and again, and brings what is lost.

A stream's last event leaves no gap when it is lost, so nobody else would notice. The walk goes along the heads of the
log's streams from a checkpoint that stands in Redis beside the state itself, and moves it only behind what it has
found applied. What is missing may still be in the queues: it is left alone while its partition gets on.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from operator import attrgetter

from chassis.logging import get_logger
from chassis.tasks import end
from contracts import streams
from contracts.keys import READ_MODEL
from projector import metrics, parking, witness
from projector.discards import Discards
from projector.feed import Feed, FeedUnavailable, Head
from projector.healing import MOST_STREAMS, Healing, TooFarBehind
from projector.lease import Lease
from projector.progress import AnotherVersion, Progress, Standing
from projector.redis_client import UNREACHABLE
from projector.redriving import Redriving
from projector.repair import repair
from projector.script import Guard
from projector.store import Gap, GuardLost, Store, Superseded
from projector.witness import AnotherLog

log = get_logger(__name__)

PASSING = (*UNREACHABLE, FeedUnavailable, GuardLost, Gap, Superseded, TooFarBehind)
"""What ends a walk without being anybody's fault: the next one begins anew."""


@dataclass(slots=True)
class _Pending:
    """A range of the log up to `until` of which `missing` was not applied yet when we last looked."""

    until: int
    last: Head | None
    """That of the last event in the range."""
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
        self,
        feed: Feed,
        store: Store,
        healing: Healing,
        progress: Progress,
        redriving: Redriving,
        discards: Discards,
        lease: Lease,
        interval: float,
    ) -> None:
        self._feed = feed
        self._store = store
        self._healing = healing
        self._progress = progress
        self._redriving = redriving
        self._discards = discards
        self._lease = lease
        self._interval = interval
        self._memory = _Memory()
        self._pending: _Pending | None = None
        self._waits_since: float | None = None
        self._wake = asyncio.Event()
        self._urgent = False

    def wake(self, *, urgent: bool = False) -> None:
        """Walks at once; when urgent, what is missing is brought without waiting for the queues."""
        self._urgent |= urgent
        self._wake.set()

    async def run(self) -> None:
        """Walks for ever, whatever can't be reached meanwhile. Raises as `inspect` does."""
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
            await end(keeping)

    async def once(self) -> None:
        """One walk. Nothing that passes by itself is raised; raises as `inspect` does."""
        try:
            outcome = await self._once()
        except PASSING as error:
            self._pending = None
            outcome = "failed"
            log.warning("walk_failed", reason=f"{type(error).__name__}: {error}")
        metrics.WALKS.labels(outcome).inc()

    async def inspect(self) -> Standing:
        """How the generation stands, if this log and this code may go on with it.

        Raises:
            AnotherVersion: it was made by code that writes other documents.
            AnotherLog: it was made from another log. Then it is not whole any more.
            GuardLost, FeedUnavailable, redis.exceptions.RedisError, OSError: it can't be told.
        """
        leading = await self._lease.take()
        standing = await self._progress.standing()
        of_other_code = standing.schema not in ("", str(READ_MODEL))
        metrics.OTHER_CODE.labels(str(self._progress.generation.number)).set(of_other_code)
        if of_other_code:
            raise AnotherVersion(
                f"read model generation {self._progress.generation.number} was made by version {standing.schema}, "
                f"this projector writes version {READ_MODEL}: run `projector rebuild`"
            )
        differs, unchecked = metrics.LOG_DIFFERS.labels(str(self._progress.generation.number)), self._store.unchecked
        try:
            await witness.check(self._feed, (*standing.known_events, *unchecked.values()))
        except AnotherLog:
            differs.set(1)
            await self._close(leading, standing)
            raise
        differs.set(0)
        self._store.checked(unchecked)
        return standing

    async def _close(self, leading: bool, standing: Standing) -> None:
        """No reads, and no writes of consumers, of whichever instance: what was applied is not what the log says."""
        if leading and standing.whole:
            await self._progress.mark_broken(self._lease.guard)
        # Should only this instance see another log, then one that does not must lead.
        await self._lease.release()

    async def _once(self) -> str:
        standing = await self.inspect()
        memory, self._memory = self._memory, _Memory(standing.server, standing.applied, standing.checkpoint)
        self._observe(standing)
        if not self._lease.held:
            self._pending = None
            return "following"
        if standing.is_new:
            await self._progress.begin(self._lease.guard)
        guard = (*self._lease.guard, *self._progress.ours)
        if standing.whole and memory.lost_since(standing):
            log.error("redis_lost_writes", checkpoint=standing.checkpoint)
            await self._progress.mark_broken(guard)
        elif standing.whole:
            guard = (*guard, *self._progress.whole)
            await self._redriving.some(guard)
            await self._compare(standing, memory, guard)
            return "compared"
        self._pending = None
        await self._discards.refresh()
        await repair(self._healing, self._progress, standing, guard)
        metrics.WHOLE.labels(str(self._progress.generation.number)).set(1)
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
                await self._bring(lost, pending.missing, checkpoint, pending.until, guard)
                pending.missing = await self._missing(pending.missing)
            if pending.missing:
                self._observe_lag(pending.missing, standing, pending.until)
                return
            await self._move(checkpoint, pending.until, pending.last, standing, guard)
            checkpoint, self._pending = pending.until, None
        while True:
            page = await self._feed.heads(checkpoint)
            last = max(page.heads, key=attrgetter("position"), default=None)
            missing = await self._missing(page.heads)
            if missing and urgent:
                await self._bring(missing, missing, checkpoint, page.until, guard)
                missing = await self._missing(missing)
            self._observe_lag(missing, standing, page.settled)
            if missing:
                self._pending = _Pending(page.until, last, standing.server, missing)
                return
            if page.until > checkpoint:
                await self._move(checkpoint, page.until, last, standing, guard)
            if page.until >= page.settled or page.until <= checkpoint:
                return
            checkpoint = page.until

    async def _move(self, before: int, after: int, last: Head | None, standing: Standing, guard: Guard) -> None:
        known = await witness.of(self._feed, last.stream_id, last.version) if last else ""
        await self._progress.move_checkpoint(before, after, known, standing.server, guard)
        self._waits_since = None

    async def _missing(self, heads: list[Head]) -> list[Head]:
        """Those heads that are not applied, and that no parked record remembers."""
        missing = [head for head, _version in await self._healing.behind(heads)]
        keys = list({streams.partition_key_of(head.stream_id) for head in missing})
        records = {key: parking.decode(record) for key, record in (await self._progress.parked(keys)).items()}
        return [h for h in missing if not _is_excused(h, records)]

    async def _bring(self, lost: list[Head], missing: list[Head], after: int, until: int, guard: Guard) -> None:
        """Applies what is lost, and all that is missing before it in its partition: no event overtakes another.

        Nothing behind that is applied, of any stream: what else is missing there is not known.
        """
        last: dict[int, int] = {}
        for head in lost:
            last[head.partition] = max(head.position, last.get(head.partition, 0))
        behind = [head for head in missing if head.partition in last]
        log.warning("lost_events_found", streams=len(behind))
        versions = await self._progress.versions([head.stream_id for head in behind])
        partitions: dict[int, dict[str, int]] = {}
        for head, version in zip(behind, versions, strict=True):
            partitions.setdefault(head.partition, {})[head.stream_id] = version
        try:
            if len(behind) > MOST_STREAMS:
                raise TooFarBehind(f"{len(behind)} streams are behind")
            for partition, streams_behind in partitions.items():
                await self._healing.bring(partition, streams_behind, guard, last[partition])
                metrics.GAPS_HEALED.inc(len(streams_behind))
        except TooFarBehind as reason:
            log.warning("replaying_the_log", reason=str(reason), after=after, until=until)
            async with aclosing(self._healing.replay(after, guard)) as steps:
                async for done in steps:
                    if done.position >= until:
                        break

    def _observe(self, standing: Standing) -> None:
        number = str(self._progress.generation.number)
        metrics.LEADING.labels(number).set(self._lease.held)
        metrics.WHOLE.labels(number).set(standing.whole)
        for partition, count in enumerate(standing.parked):
            metrics.PARKED.labels(number, str(partition)).set(count)
        if not self._lease.held:
            metrics.LAG_EVENTS.remove_by_labels({"generation": number})
            metrics.BEHIND_SECONDS.remove_by_labels({"generation": number})
            self._waits_since = None

    def _observe_lag(self, missing: list[Head], standing: Standing, settled: int) -> None:
        now = asyncio.get_running_loop().time()
        self._waits_since = (self._waits_since or now) if missing else None
        metrics.BEHIND_SECONDS.labels(str(self._progress.generation.number)).set(now - (self._waits_since or now))
        lagging = {head.partition for head in missing}
        for partition, applied in enumerate(standing.applied):
            behind = max(1, settled - applied) if partition in lagging else 0
            metrics.LAG_EVENTS.labels(str(self._progress.generation.number), str(partition)).set(behind)


def _is_lost(head: Head, standing: Standing, memory: _Memory) -> bool:
    """Whether a head that the walk before this one has missed already won't come by the queues any more."""
    if head.partition >= len(memory.applied):
        return False
    before = memory.applied[head.partition]
    return before >= head.position or standing.applied[head.partition] == before


def _is_excused(head: Head, records: dict[str, parking.Parked]) -> bool:
    record = records.get(streams.partition_key_of(head.stream_id))
    return record is not None and record.may_wait(head.stream_id)
