"""What a process manager keeps in Postgres: one row for each stream, and how far the log is known to be handled.

A stream's row is its gate (the version of the last event handled), the manager's state of it, and its timer. They
change in one guarded statement, and never backwards: see decisions/0004-gate-state-and-timer-in-one-row.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import Integer, Text

from command_service.processes.manager import ProcessManager, S

_TEXTS: Final = ARRAY(Text)

# A sub-select with LIMIT for each row: else a planner that knows nothing of the table may walk all of a manager's rows.
_LOAD: Final = text("""
SELECT found.stream_id, found.version, found.state, found.due_at
  FROM unnest(:stream_ids) AS wanted(stream_id)
 CROSS JOIN LATERAL (
       SELECT stream_id, version, state::text AS state, due_at FROM process_streams
        WHERE manager = :manager AND stream_id = wanted.stream_id LIMIT 1) found
""").bindparams(bindparam("stream_ids", type_=_TEXTS))

_WRITE: Final = text("""
INSERT INTO process_streams (manager, stream_id, version, state, due_at)
SELECT :manager, stream_id, version, state::jsonb, due_at
  FROM unnest(:stream_ids, :versions, :states, :due_ats) AS new(stream_id, version, state, due_at)
ON CONFLICT (manager, stream_id) DO UPDATE
   SET version = excluded.version, state = excluded.state, due_at = excluded.due_at
 WHERE process_streams.version < excluded.version
""").bindparams(
    bindparam("stream_ids", type_=_TEXTS),
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("states", type_=_TEXTS),
    bindparam("due_ats", type_=ARRAY(TIMESTAMP(timezone=True))),
)

_DUE: Final = text("""
SELECT stream_id, version, state::text AS state, due_at FROM process_streams
 WHERE manager = :manager AND due_at <= now() ORDER BY due_at LIMIT :most
""")
_NEXT: Final = text("""
SELECT extract(epoch FROM due_at - clock_timestamp()) FROM process_streams
 WHERE manager = :manager AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
""")
_WAITING: Final = text("SELECT count(*) FROM process_streams WHERE manager = :manager AND due_at IS NOT NULL")
_CLEAR: Final = text("""
UPDATE process_streams SET due_at = NULL WHERE manager = :manager AND stream_id = :stream_id AND version = :version
""")
_PUT_OFF: Final = text("""
UPDATE process_streams SET due_at = now() + make_interval(secs => :seconds)
 WHERE manager = :manager AND stream_id = :stream_id AND version = :version
""")

_CHECKPOINT: Final = text("SELECT position FROM process_checkpoints WHERE manager = :manager")
_MOVE_CHECKPOINT: Final = text("""
INSERT INTO process_checkpoints (manager, position) VALUES (:manager, :position)
ON CONFLICT (manager) DO UPDATE SET position = excluded.position WHERE process_checkpoints.position < excluded.position
""")


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """A stream as the manager knows it. Version 0: it has not heard of the stream."""

    version: int
    state: S
    due_at: datetime | None = None


class Rows(Generic[S]):
    """The rows of one manager. What is raised is Postgres' and the driver's own."""

    def __init__(self, engine: AsyncEngine, manager: ProcessManager[S]) -> None:
        self._engine = engine
        self._manager = manager

    async def load(self, stream_ids: Sequence[str]) -> dict[str, Row[S]]:
        """A row for each of the streams, in one statement."""
        found = await self._fetch(_LOAD, stream_ids=list(stream_ids))
        new = Row(0, self._manager.initial)
        return {stream_id: found.get(stream_id, new) for stream_id in stream_ids}

    async def write(self, rows: Mapping[str, Row[S]]) -> None:
        """Writes rows that are ahead of what is there, in one statement; the others are left."""
        # Sorted: two instances that write the same rows must not deadlock.
        ordered = sorted(rows.items())
        states = [self._manager.state.dump_json(row.state).decode() for _, row in ordered]
        await self._execute(
            _WRITE,
            stream_ids=[stream_id for stream_id, _ in ordered],
            versions=[row.version for _, row in ordered],
            states=states,
            due_ats=[row.due_at for _, row in ordered],
        )

    async def due(self, most: int) -> dict[str, Row[S]]:
        """The streams whose timers are due by the clock of Postgres, the earliest first."""
        return await self._fetch(_DUE, most=most)

    async def seconds_to_next(self) -> float | None:
        """Seconds until the first timer is due; negative when it is. None: there is none."""
        found = await self._scalar(_NEXT)
        return None if found is None else float(found)

    async def waiting(self) -> int:
        """How many timers are set."""
        return int(await self._scalar(_WAITING))

    async def clear_timer(self, stream_id: str, version: int) -> None:
        """Unless the stream has gone on since `version`."""
        await self._execute(_CLEAR, stream_id=stream_id, version=version)

    async def put_off_timer(self, stream_id: str, version: int, seconds: float) -> None:
        """Due in so many seconds instead, unless the stream has gone on since `version`."""
        await self._execute(_PUT_OFF, stream_id=stream_id, version=version, seconds=seconds)

    async def checkpoint(self) -> int:
        """The position up to which the log has been found handled; 0 at first."""
        return int(await self._scalar(_CHECKPOINT) or 0)

    async def move_checkpoint(self, position: int) -> None:
        """Never backwards."""
        await self._execute(_MOVE_CHECKPOINT, position=position)

    async def _fetch(self, query: Any, **parameters: Any) -> dict[str, Row[S]]:
        async with self._engine.connect() as connection:
            result = await connection.execute(query, {"manager": self._manager.name, **parameters})
            rows = result.all()
        parse = self._manager.state.validate_json
        return {row.stream_id: Row(row.version, parse(row.state), row.due_at) for row in rows}

    async def _scalar(self, query: Any) -> Any:
        async with self._engine.connect() as connection:
            return (await connection.execute(query, {"manager": self._manager.name})).scalar_one_or_none()

    async def _execute(self, statement: Any, **parameters: Any) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(statement, {"manager": self._manager.name, **parameters})
