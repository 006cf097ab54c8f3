"""Reading the log: one stream's history, and the feed of all events up to the settled position.

The *settled position* is one below which every transaction has ended: no event will ever appear at or below it that is
not visible now. Whoever remembers "up to here" may do so only there.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from command_service.event_store.locks import DRAWN, LOWEST_MARK
from command_service.event_store.schema import events
from contracts.envelope import Metadata, RecordedEvent, rfc3339


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and how far the log was settled when they were read."""

    events: list[RecordedEvent]
    settled: int


@dataclass(frozen=True, slots=True)
class Heads:
    """For each stream with events in a range of the log: (stream id, partition, highest version, its position).

    The range ends at `until`, which is at most `settled`.
    """

    settled: int
    until: int
    heads: list[tuple[str, int, int, int]]


class Feed:
    """Reads of the log, each in short statements of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stream(self, stream_id: str, after: int, limit: int) -> list[RecordedEvent] | None:
        """Up to `limit` events of a stream behind version `after`, in order; None if the stream has no event at all."""
        query = select(events).where(events.c.stream_id == stream_id)
        async with self._engine.connect() as connection:
            rows = (
                await connection.execute(query.where(events.c.version > after).order_by(events.c.version).limit(limit))
            ).all()
            if not rows and (await connection.execute(query.limit(1))).first() is None:
                return None
        return [_recorded(row) for row in rows]

    async def page(self, after: int, limit: int) -> Page:
        """Up to `limit` events behind position `after`, in the log's order, none of them unsettled."""
        async with self._engine.connect() as connection:
            settled = await _settled(connection)
            rows = (await connection.execute(_range(after, settled, limit))).all()
        return Page([_recorded(row) for row in rows], settled)

    async def heads(self, after: int, limit: int) -> Heads:
        """The streams touched by up to `limit` events behind position `after`."""
        async with self._engine.connect() as connection:
            settled = await _settled(connection)
            section = _range(after, settled, limit).subquery()
            query = select(
                section.c.stream_id,
                section.c.partition,
                func.max(section.c.version),
                func.max(section.c.position),
                func.count(),
            ).group_by(section.c.stream_id, section.c.partition)
            rows = (await connection.execute(query)).all()
        heads = [(row[0], row[1], row[2], row[3]) for row in rows]
        is_full = sum(row[4] for row in rows) >= limit
        until = max(head[3] for head in heads) if is_full else settled
        return Heads(settled, until, heads)


def _range(after: int, settled: int, limit: int) -> Select[Any]:
    return (
        select(events)
        .where(events.c.position > after, events.c.position <= settled)
        .order_by(events.c.position)
        .limit(limit)
    )


async def _settled(connection: AsyncConnection) -> int:
    """The settled position. Three steps, each with a snapshot of its own, in this order.

    First what was drawn, then the marks: who drew one of those positions had marked before, and either still holds
    its mark or has ended. The caller reads events in a later statement, which sees all that had ended.
    """
    await connection.execution_options(isolation_level="AUTOCOMMIT")
    drawn: int = (await connection.execute(text(DRAWN))).scalar_one()
    mark: int | None = (await connection.execute(text(LOWEST_MARK))).scalar_one()
    return drawn if mark is None else min(drawn, mark)


def _recorded(row: Row[Any]) -> RecordedEvent:
    metadata = Metadata(**row.metadata)
    recorded_at = rfc3339(row.recorded_at)
    return RecordedEvent(
        position=row.position,
        stream_id=row.stream_id,
        version=row.version,
        partition_key=row.partition_key,
        type=row.type,
        schema_version=row.schema_version,
        data=row.data,
        time=metadata.effective_at or recorded_at,
        recorded_at=recorded_at,
        metadata=metadata,
    )
