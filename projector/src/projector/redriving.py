"""Tries parked keys again: all that waits with a key comes from the log, in order, with growing pauses."""

import time
from collections.abc import Sequence
from typing import Final

from chassis.logging import get_logger
from contracts.envelope import RecordedEvent
from contracts.topology import partition_of
from projector import metrics, parking
from projector.discards import Discards
from projector.healing import Healing
from projector.parking import Redrive
from projector.progress import Progress
from projector.script import Guard
from projector.store import Superseded
from projector.waiting import WaitingEvents

log = get_logger(__name__)

PATIENCE: Final = 1.0
"""Seconds after which a walk is kept no longer by parked keys."""

_ROUNDS: Final = 20
"""A key that leaves out more events as quickly as it is caught up goes on in the next walk."""


class Redriving:
    """Done by the leading walk in its own turn, so that nothing is unparked while the walk compares."""

    def __init__(
        self, waiting: WaitingEvents, healing: Healing, progress: Progress, discards: Discards, batch_events: int
    ) -> None:
        self._waiting = waiting
        self._healing = healing
        self._progress = progress
        self._discards = discards
        self._batch_events = batch_events
        self._cursor = 0

    async def some(self, guard: Guard) -> None:
        """Tries the parked keys whose time has come, as many as patience allows; the next call goes on with others."""
        until = time.monotonic() + PATIENCE
        while True:
            self._cursor, page = await self._progress.parked_page(self._cursor)
            now = time.time()
            due = [key for key, record in page.items() if parking.decode(record).next_attempt <= now]
            if due:
                # Whoever discards an event says so before the key's time is moved to now.
                await self._discards.refresh()
            for key in due:
                outcome = await self._try(key, guard)
                metrics.REDRIVES.labels(outcome).inc()
            if self._cursor == 0 or time.monotonic() > until:
                return

    async def _try(self, key: str, guard: Guard) -> str:
        """Catches the key up with the log; tells what came of it."""
        caught_up: int | None = None
        for _ in range(_ROUNDS):
            record = (await self._progress.parked([key])).get(key)
            if record is None:
                break
            parked = parking.decode(record)
            try:
                if not await self._catch_up(key, parked, caught_up, guard):
                    return "failed"
                caught_up = parked.left_out
                await self._apply(key, [], guard, Redrive(key, record, last=True))
            except Superseded:
                # More was left out meanwhile.
                continue
            log.info("key_unparked", partition_key=key, attempts=parked.attempts)
            return "unparked"
        return "superseded"

    async def _catch_up(self, key: str, parked: parking.Parked, caught_up: int | None, guard: Guard) -> bool:
        """Applies all that the log has of the key; False when it was stopped by an event that can't be applied."""
        redrive = Redrive(key, b"", last=False)
        streams = parked.waiting(caught_up)
        if streams is None and not await self._apply(key, await self._waiting.upto(parked.event), guard, redrive):
            # All else is looked for only when this one is not in the way any more.
            return False
        while True:
            waiting = await self._waiting.first(key, streams)
            if not await self._apply(key, waiting.events, guard, redrive):
                return False
            if waiting.is_all:
                return True

    async def _apply(self, key: str, events: Sequence[RecordedEvent], guard: Guard, redrive: Redrive) -> bool:
        partition = partition_of(key, self._progress.partitions)
        for start in range(0, len(events) or 1, self._batch_events):
            batch = events[start : start + self._batch_events]
            changes = await self._healing.apply(partition, batch, guard, redrive=redrive)
            if changes.poisoned:
                return False
        return True
