"""Generations of the read model, and discarded events, as Postgres keeps them.

A generation is begun (building), switched to (live), left behind (kept, so that one can switch back) and dropped. At
most one is building, and exactly one is live: changes take turns, and the tables' own indexes hold it too.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.problems import Problem
from command_service.event_store.event_ids import place_of
from command_service.event_store.schema import discards, events, generations
from command_service.problems import EVENT_NOT_FOUND, GENERATION_BUILDING, GENERATION_LIVE, GENERATION_NOT_FOUND
from contracts.envelope import rfc3339

Status = Literal["building", "live", "kept", "dropped"]

_TAKE_TURNS: Final = text("LOCK TABLE generations IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True, slots=True)
class Generation:
    """Times are RFC 3339; `switched_at` is when it became live last."""

    number: int
    status: Status
    created_at: str
    switched_at: str | None


@dataclass(frozen=True, slots=True)
class Discard:
    event_id: str
    partition_key: str
    reason: str
    discarded_at: str


class Generations:
    """Raises the problem that says why, where something is refused; then nothing has changed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[Generation]:
        """Those that are not dropped, ascending. One of them is live."""
        query = select(generations).where(generations.c.status != "dropped").order_by(generations.c.number)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Generation(row.number, row.status, rfc3339(row.created_at), row.switched_at and rfc3339(row.switched_at))
            for row in rows
        ]

    async def begin(self, above: int) -> int:
        """The number of a new generation: greater than `above` and than every number that there ever was."""
        async with self._changing() as (connection, statuses):
            for number, status in statuses.items():
                if status == "building":
                    raise Problem(
                        GENERATION_BUILDING, f"Generation {number} is being built.", members={"number": number}
                    )
            begun = max(above, *statuses) + 1
            await connection.execute(insert(generations).values(number=begun, status="building", created_at=func.now()))
        return begun

    async def switch(self, number: int) -> None:
        """`number` is live from here on, and what was live is kept. Once more, it changes nothing."""
        async with self._changing() as (connection, statuses):
            status = _known(number, statuses)
            if status != "live":
                was_live = update(generations).where(generations.c.status == "live")
                await connection.execute(was_live.values(status="kept"))
                to_be = update(generations).where(generations.c.number == number)
                await connection.execute(to_be.values(status="live", switched_at=func.now()))

    async def drop(self, number: int) -> None:
        async with self._changing() as (connection, statuses):
            if _known(number, statuses) == "live":
                raise Problem(GENERATION_LIVE, f"Queries are answered from generation {number}.")
            dropped = update(generations).where(generations.c.number == number)
            await connection.execute(dropped.values(status="dropped"))

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[tuple[AsyncConnection, dict[int, Status]]]:
        """A transaction that changes alone, and the status of every generation in it."""
        async with self._engine.begin() as connection:
            await connection.execute(_TAKE_TURNS)
            # A statement of its own, behind the lock: it sees what those before have done.
            rows = await connection.execute(select(generations.c.number, generations.c.status))
            yield connection, {row.number: row.status for row in rows}


def _known(number: int, statuses: dict[int, Status]) -> Status:
    status = statuses.get(number, "dropped")
    if status == "dropped":
        raise Problem(GENERATION_NOT_FOUND, f"There is no generation {number}.")
    return status


class Discards:
    """Events that read models leave out, for ever."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> Sequence[Discard]:
        """In the order in which they were discarded."""
        query = select(discards).order_by(discards.c.discarded_at, discards.c.event_id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [Discard(row.event_id, row.partition_key, row.reason, rfc3339(row.discarded_at)) for row in rows]

    async def add(self, event_id: str, reason: str) -> None:
        """Once more, it changes nothing: the first reason stays.

        Raises:
            Problem: 404, the log has no such event.
        """
        stream_id, version = place_of(event_id)
        query = select(events.c.partition_key).where(events.c.stream_id == stream_id, events.c.version == version)
        async with self._engine.begin() as connection:
            key = (await connection.execute(query)).scalar_one_or_none()
            if key is None:
                raise Problem(EVENT_NOT_FOUND, f"There is no event {event_id}.")
            discard = {"event_id": event_id, "partition_key": key, "reason": reason, "discarded_at": func.now()}
            await connection.execute(postgresql.insert(discards).values(discard).on_conflict_do_nothing())
