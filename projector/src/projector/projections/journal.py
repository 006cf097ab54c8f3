"""What is kept of every event by itself: the history of its product or order, and the list of all stock alerts.

An entry's place is its event's position in the log. So entries may come in any order and more than once, and whatever
was cut off when, those that stay are the newest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson

from contracts.documents import StockAlert
from contracts.envelope import RecordedEvent
from contracts.events import Event, StockRanLow, StockRanOut
from contracts.keys import HISTORY_LENGTH, Generation, journal_member
from projector.projections.indexing import Command

OUT_OF_STOCK: Final = 0
"""The threshold that `StockRanOut` is about."""


@dataclass(slots=True)
class Journal:
    """New entries."""

    histories: dict[str, list[bytes]] = field(default_factory=dict)
    """By the history's key. Only the newest `HISTORY_LENGTH` of each are kept."""
    alerts: list[bytes] = field(default_factory=list)

    def commands(self, generation: Generation) -> Iterator[Command]:
        """The Redis commands that add the entries and cut the histories, each of any length."""
        for key, members in self.histories.items():
            yield _zadd(key, members)
            yield ["ZREMRANGEBYRANK", key, HISTORY_LENGTH, -1]
        if self.alerts:
            yield _zadd(generation.alerts, self.alerts)


def history_member(recorded: RecordedEvent) -> bytes:
    """A `HistoryEntry`: what its product or order remembers of an event."""
    # A dict, because making the dataclass takes longer than all else here, for each event.
    entry = {
        "at": recorded.time,
        "event": recorded.type,
        "command": recorded.metadata.command,
        "command_id": recorded.metadata.command_id,
        "version": recorded.version,
        "data": recorded.data,
    }
    return journal_member(recorded.position, orjson.dumps(entry))


def alert_member(event: Event, recorded: RecordedEvent) -> bytes | None:
    """A `StockAlert`, if the event is one."""
    match event:
        case StockRanOut():
            alert = StockAlert(recorded.partition_key, "StockRanOut", event.available, OUT_OF_STOCK, recorded.time)
        case StockRanLow():
            alert = StockAlert(recorded.partition_key, "StockRanLow", event.available, event.threshold, recorded.time)
        case _:
            return None
    return journal_member(recorded.position, orjson.dumps(alert))


def _zadd(key: str, members: list[bytes]) -> Command:
    # All scores are 0: the members' bytes are the order.
    scored: Command = ["ZADD", key]
    for member in members:
        scored += (0, member)
    return scored
