"""The walk: compares a manager's rows with the log, again and again, and brings what no queue has brought.

A stream's last event leaves no gap when it is lost, so nobody else would notice. The walk goes along the heads of the
log's streams from a checkpoint that stands in Postgres beside the rows, and moves it only behind what it has found
handled. What is missing may still be in the queues: it is brought when it has not moved since the walk before.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from chassis.logging import get_logger
from command_service.event_store.feed import Feed
from command_service.processes import metrics
from command_service.processes.following import Following
from command_service.processes.manager import ProcessManager
from command_service.processes.rows import Rows
from command_service.processes.sending import passes
from contracts.streams import kind_of

log = get_logger(__name__)

WALK_SECONDS: Final = 2.0
PAGE: Final = 1000
"""Events of the log that are compared in one step."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A stretch of the log up to `until`: what it touches of the manager's streams (→ version)."""

    until: int
    settled: int
    heads: dict[str, int]


@dataclass(slots=True)
class _Pending:
    """A step with streams that were not there yet when we last looked (→ where they stood)."""

    step: _Step
    behind: dict[str, int]


class Walk:
    def __init__(
        self,
        manager: ProcessManager[Any],
        rows: Rows[Any],
        feed: Feed,
        following: Following[Any],
        walk_seconds: float = WALK_SECONDS,
    ) -> None:
        self._manager = manager
        self._rows = rows
        self._feed = feed
        self._following = following
        self._walk_seconds = walk_seconds
        self._walked: int | None = None
        self._pending: _Pending | None = None
        self._waits_since: float | None = None
        self._bring_until = 0

    async def run(self) -> None:
        """Walks for ever, whatever can't be reached meanwhile."""
        while True:
            try:
                await self.once()
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("walk_failed", manager=self._manager.name, reason=f"{type(error).__name__}: {error}")
                self._begin_anew()
            await asyncio.sleep(self._walk_seconds)

    async def once(self) -> None:
        """Goes on to the settled position, or to what may still be in the queues."""
        await self._following.retry_parked(asyncio.get_running_loop().time())
        if self._walked is None:
            self._walked = await self._rows.checkpoint()
        while True:
            pending, self._pending = self._pending, None
            step = pending.step if pending else await self._next(self._walked)
            behind = await self._following.behind(step.heads)
            if behind and (step.until <= self._bring_until or _has_stopped(behind, pending)):
                await self._bring(step, behind)
            elif behind:
                self._pending = _Pending(step, behind)
                self._observe(max(1, step.settled - self._walked), waits=True)
                return
            await self._move(step.until)
            self._observe(step.settled - step.until, waits=False)
            if pending is None and step.until >= step.settled:
                return

    def _observe(self, lag: int, *, waits: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._waits_since = (self._waits_since or now) if waits else None
        metrics.LAG_EVENTS.labels(self._manager.name).set(lag)
        metrics.BEHIND_SECONDS.labels(self._manager.name).set(now - (self._waits_since or now))

    def _begin_anew(self) -> None:
        """Forgets what it has seen: the database may come back restored from a backup."""
        self._walked, self._pending, self._bring_until = None, None, 0

    async def _next(self, walked: int) -> _Step:
        page = await self._feed.heads(walked, PAGE)
        heads = {
            stream_id: version
            for stream_id, _partition, version, _position in page.heads
            if kind_of(stream_id) == self._manager.follows
        }
        return _Step(max(page.until, walked), page.settled, heads)

    async def _bring(self, step: _Step, behind: dict[str, int]) -> None:
        """Handles the step's stretch of the log.

        Where something was lost, more may be: up to what is settled now, nothing waits for the queues any more.
        """
        assert self._walked is not None
        log.warning("lost_events_found", manager=self._manager.name, streams=len(behind))
        page = await self._feed.page(self._walked, PAGE)
        await self._following.handle([event for event in page.events if event.position <= step.until])
        metrics.FOUND_MISSING.labels(self._manager.name).inc(len(behind))
        self._bring_until = max(self._bring_until, step.settled)

    async def _move(self, until: int) -> None:
        """What is parked stays behind the checkpoint: a process that starts anew finds it again."""
        self._walked = until
        parked = self._following.first_parked()
        await self._rows.move_checkpoint(until if parked is None else min(until, parked - 1))


def _has_stopped(behind: dict[str, int], pending: _Pending | None) -> bool:
    """Whether a stream still stands where it stood when the walk before looked."""
    return pending is not None and any(pending.behind.get(stream_id) == at for stream_id, at in behind.items())
