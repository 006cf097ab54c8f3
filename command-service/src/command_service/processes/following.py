"""Brings a manager's streams forward, whatever brings the events: a queue, a gap that is filled, or the walk.

Each stream goes forward one version at a time. Its commands are sent before its row says that it has moved, so a crash
between the two sends them again, under the same ids; never after, which would forget them. What the queues deliver is a
hint: the log has everything, and the walk finds what no queue brought.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic

from chassis.logging import get_logger
from command_service.envelope import ExecutionFailed
from command_service.event_store.feed import Feed
from command_service.processes import metrics
from command_service.processes.known_events import EventNotInTheLog
from command_service.processes.manager import ProcessManager, S, Timer
from command_service.processes.rows import Row, Rows
from command_service.processes.sending import Sender
from contracts import events as event_contract
from contracts.envelope import RecordedEvent
from contracts.streams import kind_of

log = get_logger(__name__)

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 300.0
PAGE: Final = 500
"""Events of one stream that are fetched at once."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A stream whose next event, at `position`, can't be handled. Times are the event loop's, in seconds."""

    position: int
    attempts: int
    next_attempt: float


class CannotHandle(Exception):
    """This event is to blame, or a fault of ours that it meets again and again."""


class Following(Generic[S]):
    """One manager's handling of events. Several at once, in this process or another, do no harm."""

    def __init__(
        self,
        manager: ProcessManager[S],
        rows: Rows[S],
        feed: Feed,
        sender: Sender,
        timer_set: Callable[[], Any] = lambda: None,
    ) -> None:
        self._manager = manager
        self._rows = rows
        self._feed = feed
        self._sender = sender
        self._timer_set = timer_set
        self._types = {cls.__name__ for cls in manager.concerned}
        self._parked: dict[str, Parked] = {}

    async def handle(self, events: Sequence[RecordedEvent]) -> None:
        """Each event is handled, or its stream parked, when this returns. Raises only what `sending.passes`."""
        streams: dict[str, list[RecordedEvent]] = {}
        for event in events:
            if kind_of(event.stream_id) == self._manager.follows and event.stream_id not in self._parked:
                streams.setdefault(event.stream_id, []).append(event)
        await self._advance(streams)

    async def retry_parked(self, now: float) -> None:
        """Tries again the parked streams whose time has come; what they wait with comes from the log."""
        for stream_id in [s for s, parked in self._parked.items() if parked.next_attempt <= now]:
            # From here on it is delivered to again: what comes while the log is read is not left out.
            before = self._parked.pop(stream_id)
            try:
                await self._catch_up(stream_id)
            except BaseException:
                self._parked[stream_id] = before
                raise
            if stream_id in self._parked:
                self._park_again(stream_id, before, now)
            else:
                log.info("stream_unparked", manager=self._manager.name, stream_id=stream_id)
            self._observe()

    async def _catch_up(self, stream_id: str) -> None:
        """Handles all that the log has of a stream, or parks it."""
        while stream_id not in self._parked:
            row = (await self._rows.load([stream_id]))[stream_id]
            waiting = await self._feed.stream(stream_id, row.version, PAGE)
            if not waiting:
                return
            await self._advance({stream_id: waiting})

    async def behind(self, heads: dict[str, int]) -> dict[str, int]:
        """Of these streams (→ version in the log) those not that far, parked ones left out: → version handled."""
        wanted = [stream_id for stream_id in heads if stream_id not in self._parked]
        rows = await self._rows.load(wanted) if wanted else {}
        return {stream_id: row.version for stream_id, row in rows.items() if row.version < heads[stream_id]}

    def first_parked(self) -> int | None:
        """The lowest position of an event that is left out."""
        return min((parked.position for parked in self._parked.values()), default=None)

    async def _advance(self, streams: dict[str, list[RecordedEvent]]) -> None:
        if not streams:
            return
        loaded = await self._rows.load(list(streams))
        moved: dict[str, Row[S]] = {}
        # All are awaited before one's failure is told, and what the others have done is written down.
        ended = await asyncio.gather(
            *(self._advance_one(stream_id, loaded[stream_id], its, moved) for stream_id, its in streams.items()),
            return_exceptions=True,
        )
        if moved:
            await self._rows.write(moved)
            if any(row.due_at is not None for row in moved.values()):
                self._timer_set()
        for error in ended:
            if error is not None:
                raise error

    async def _advance_one(
        self, stream_id: str, row: Row[S], events: list[RecordedEvent], moved: dict[str, Row[S]]
    ) -> None:
        """Keeps in `moved` how far the stream got."""
        for event in sorted(events, key=lambda e: e.version):
            for following in await self._up_to(row, event):
                try:
                    row = moved[stream_id] = await self._step(row, following)
                except CannotHandle as reason:
                    self._park(following, str(reason))
                    return

    async def _up_to(self, row: Row[S], event: RecordedEvent) -> list[RecordedEvent]:
        """What is to be handled next in order to have handled `event`: with it, what is missing before it."""
        if event.version <= row.version + 1:
            return [event] if event.version > row.version else []
        metrics.GAPS.labels(self._manager.name).inc()
        following: list[RecordedEvent] = []
        version = row.version
        while version < event.version:
            page = await self._feed.stream(event.stream_id, version, PAGE)
            if not page:
                # A backup was restored since it was looked up.
                raise EventNotInTheLog(event.id)
            following += page
            version = page[-1].version
        return following

    async def _step(self, row: Row[S], recorded: RecordedEvent) -> Row[S]:
        metrics.EVENTS.labels(self._manager.name).inc()
        if recorded.type not in self._types:
            return Row(recorded.version, row.state, row.due_at)
        try:
            event = event_contract.parse(recorded.type, recorded.schema_version, recorded.data)
            reaction = self._manager.react(row.state, event, recorded)
        except Exception as error:
            # Unreadable, or nothing that the manager's own code can handle: either way this stream's alone.
            raise CannotHandle(f"{type(error).__name__}: {error}") from error
        try:
            for number, command in enumerate(reaction.commands):
                await self._sender.send(command, recorded, str(number), at_cause=True)
        except ExecutionFailed as error:
            raise CannotHandle(f"a command failed: {error}") from error
        match reaction.timer:
            case Timer.KEPT:
                due_at = row.due_at
            case Timer.CLEARED:
                due_at = None
            case moment:
                due_at = moment
        return Row(recorded.version, reaction.state, due_at)

    def _park(self, event: RecordedEvent, reason: str) -> None:
        next_attempt = asyncio.get_running_loop().time() + FIRST_RETRY
        self._parked[event.stream_id] = Parked(event.position, 1, next_attempt)
        self._observe()
        log.error(
            "stream_parked", manager=self._manager.name, event_id=event.id, event_type=event.type, reason=reason[:500]
        )

    def _park_again(self, stream_id: str, before: Parked, now: float) -> None:
        attempts = before.attempts + 1
        pause = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(attempts - 1, 32))
        self._parked[stream_id] = Parked(self._parked[stream_id].position, attempts, now + pause)

    def _observe(self) -> None:
        metrics.PARKED.labels(self._manager.name).set(len(self._parked))
