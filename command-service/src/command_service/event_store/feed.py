"""Reading the log: one stream's history, and the feed of all events up to the settled position.

The *settled position* is one below which every transaction has ended: no event will ever appear at or below it that is
not visible now. Whoever remembers "up to here" may do so only there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, collate, func, select, text, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import BigInteger, Integer, Text

from command_service.event_store.locks import DRAWN, LOWEST_MARK
from command_service.event_store.schema import events
from contracts.envelope import Metadata, RecordedEvent, rfc3339
from contracts.streams import partition_key_of

# In both, a sub-select with LIMIT for each row: whatever the planner knows of the table, it looks them up by key.
_VERSIONS: Final = text("""
SELECT COALESCE(last.version, 0)
  FROM unnest(:streams) WITH ORDINALITY AS wanted(stream_id, n)
  LEFT JOIN LATERAL (
       SELECT version FROM events WHERE stream_id = wanted.stream_id ORDER BY version DESC LIMIT 1) last ON true
 ORDER BY n
""").bindparams(bindparam("streams", type_=ARRAY(Text)))
_UNKNOWN: Final = text("""
SELECT n
  FROM unnest(:positions, :streams, :versions) WITH ORDINALITY AS told(position, stream_id, version, n)
  LEFT JOIN LATERAL (
       SELECT stream_id, version FROM events WHERE position = told.position LIMIT 1) found ON true
 WHERE (found.stream_id, found.version) IS DISTINCT FROM (told.stream_id, told.version)
 ORDER BY n LIMIT 1
""").bindparams(
    bindparam("positions", type_=ARRAY(BigInteger)),
    bindparam("streams", type_=ARRAY(Text)),
    bindparam("versions", type_=ARRAY(Integer)),
)
_ALONG_INDEXES: Final = text("""
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true), set_config('jit', 'off', true)
""")
"""For this transaction: a page costs what is in it, also while the planner knows nothing of a new or grown table."""


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

    async def of_partition(self, partition: int, after: tuple[str, int] | None, limit: int) -> list[RecordedEvent]:
        """Up to `limit` events of a partition behind `after` (stream id, version), by key, stream and version.

        By keys and stream ids as bytes. Every stream is without holes, but none is settled: what commits while pages
        are read stands in them or not. `after` is a place, also if the log has no such event.
        """
        found: list[Row[Any]] = []
        async with self._engine.begin() as connection:
            await connection.execute(_ALONG_INDEXES)
            if after is not None:
                rest = select(events).where(events.c.stream_id == after[0], events.c.version > after[1])
                found += (await connection.execute(rest.order_by(events.c.version).limit(limit))).all()
            if len(found) < limit:
                following = _streams_behind(partition, after and after[0], limit - len(found))
                found += (await connection.execute(following)).all()
        return [_recorded(row) for row in found]

    async def versions(self, stream_ids: Sequence[str]) -> list[int]:
        """The last version of each of these streams, in their order; 0 for one that the log doesn't have."""
        async with self._engine.connect() as connection:
            return list((await connection.execute(_VERSIONS, {"streams": stream_ids})).scalars())

    async def first_unknown(self, told: Sequence[RecordedEvent]) -> RecordedEvent | None:
        """The first of these events that the log does not have at its position, with its stream and version."""
        if not told:
            return None
        values = {
            "positions": [event.position for event in told],
            "streams": [event.stream_id for event in told],
            "versions": [event.version for event in told],
        }
        async with self._engine.connect() as connection:
            number = (await connection.execute(_UNKNOWN, values)).scalar_one_or_none()
        return None if number is None else told[number - 1]


def _streams_behind(partition: int, stream_id: str | None, limit: int) -> Select[Any]:
    """The first `limit` events of the streams that stand behind one in the index of streams.

    It walks that index and takes each stream's events as they stand in theirs, so that a page costs what is in it.
    """
    key, stream = collate(events.c.partition_key, "C"), collate(events.c.stream_id, "C")
    first = select(events.c.stream_id, key.label("key"), stream.label("stream")).where(
        events.c.partition == partition, events.c.version == 1
    )
    if stream_id is not None:
        first = first.where(tuple_(key, stream) > tuple_(partition_key_of(stream_id), stream_id))
    streams = first.order_by(key, stream).limit(limit).subquery()
    its = (
        select(events)
        .where(events.c.stream_id == streams.c.stream_id)
        .order_by(events.c.version)
        .limit(limit)
        .lateral()
    )
    joined = select(its).select_from(streams.join(its, true()))
    return joined.order_by(streams.c.key, streams.c.stream, its.c.version).limit(limit)


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


def _recorded(row: Sequence[Any]) -> RecordedEvent:
    # By the order of the table's columns: looking each up by its name took half of the time spent here.
    position, stream_id, version, partition_key, _, kind, schema_version, data, metadata, recorded_at = row
    origin = Metadata(**metadata)
    recorded = rfc3339(recorded_at)
    return RecordedEvent(
        position=position,
        stream_id=stream_id,
        version=version,
        partition_key=partition_key,
        type=kind,
        schema_version=schema_version,
        data=data,
        time=origin.effective_at or recorded,
        recorded_at=recorded,
        metadata=origin,
    )
