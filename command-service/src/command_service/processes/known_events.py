"""Refuses to handle what the log does not have: a Postgres restored from a backup stands behind its queues.

Events are published after their commit, so that the log has whatever the queues deliver, unless it has lost it. What
the queues then hold never happened for the shop, and some of its positions and versions may belong to other events by
now. Nobody may react to it: see decisions/0008-a-delivered-event-is-looked-up-in-the-log.md.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chassis.logging import get_logger
from command_service.event_store.feed import Feed
from command_service.processes import metrics
from contracts.envelope import RecordedEvent

log = get_logger(__name__)

RUNBOOK: Final = 'deploy/RUNBOOKS.md, "Postgres was restored from a backup"'


class EventNotInTheLog(Exception):
    """The log does not have this event: nothing that comes with it may be handled, and it must not be forgotten."""


class KnownEvents:
    """What one manager's queues deliver, on the way to `handle_all`, which gets nothing that the log does not have."""

    def __init__(self, manager: str, feed: Feed, handle_all: Callable[[Sequence[RecordedEvent]], Awaitable[None]]):
        self._manager = manager
        self._feed = feed
        self._handle_all = handle_all
        self._refused: set[str] = set()
        self._observe()

    async def handle(self, events: Sequence[RecordedEvent]) -> None:
        """Handles all of the events, or none.

        Raises:
            EventNotInTheLog: until the log has them all.
        """
        unknown = await self._feed.first_unknown(events)
        if unknown is not None:
            self._refuse(unknown)
            raise EventNotInTheLog(unknown.id)
        if self._refused:
            self._refused.difference_update(event.id for event in events)
            self._observe()
        await self._handle_all(events)

    async def check(self) -> None:
        """A health check: raises `EventNotInTheLog` while messages are held because of one."""
        for event_id in self._refused:
            raise EventNotInTheLog(event_id)

    def forget(self) -> None:
        """A queue was lost or won. What is refused is delivered again, to this instance or to another."""
        self._refused.clear()
        self._observe()

    def _refuse(self, event: RecordedEvent) -> None:
        if event.id not in self._refused:
            self._refused.add(event.id)
            log.critical(
                "event_not_in_the_log",
                manager=self._manager,
                event_id=event.id,
                position=event.position,
                note="the log is older than its queues; nothing is handled until this is resolved",
                runbook=RUNBOOK,
            )
        self._observe()

    def _observe(self) -> None:
        metrics.NOT_IN_THE_LOG.labels(self._manager).set(len(self._refused))
