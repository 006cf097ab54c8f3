"""Loading and appending for one batch of commands: a fixed number of round trips, however many commands are in it.

The statements run on the driver (asyncpg) beneath SQLAlchemy: see decisions/0002-hot-statements-on-the-driver.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from command_service.event_store.locks import LockKey, begin_and_lock
from command_service.event_store.schema import FIND_BY_KEY

CONNECTION_SETTINGS: Final = {
    **FIND_BY_KEY,
    # A process that is stopped or cut off inside a transaction must not keep the locks of others for ever.
    "idle_in_transaction_session_timeout": "15s",
    "application_name": "stockroom-executor",
}

_LOAD: Final = """
SELECT 'receipt' AS kind, r.command_id AS key, 0 AS version, r.status AS type, 0 AS schema_version,
       r.outcome::text AS payload, r.fingerprint
  FROM unnest($1::text[]) AS c(command_id) JOIN receipts r USING (command_id)
UNION ALL
SELECT 'claim', c.name, 0, '', 0, c.owner, NULL
  FROM unnest($2::text[]) AS w(name) JOIN claims c USING (name)
UNION ALL
SELECT 'snapshot', s.stream_id, s.version, '', s.snapshot_version, s.state::text, NULL
  FROM unnest($3::text[], $4::int[], $5::smallint[]) AS w(stream_id, known, form)
  JOIN snapshots s ON s.stream_id = w.stream_id AND s.snapshot_version = w.form AND s.version > w.known
UNION ALL
SELECT 'event', e.stream_id, e.version, e.type, e.schema_version, e.data, NULL
  FROM unnest($3::text[], $4::int[], $5::smallint[]) AS w(stream_id, known, form)
  LEFT JOIN snapshots s ON s.stream_id = w.stream_id AND s.snapshot_version = w.form
 CROSS JOIN LATERAL (
       SELECT stream_id, version, type, schema_version, data::text AS data FROM events
        WHERE stream_id = w.stream_id AND version > GREATEST(w.known, COALESCE(s.version, 0))
        ORDER BY version) e
"""

_APPEND: Final = """
WITH new AS MATERIALIZED (
    SELECT nextval('events_position_seq') AS position, n.*
      FROM unnest($1::text[], $2::int[], $3::text[], $4::smallint[], $5::text[], $6::smallint[],
                  $7::text[], $8::text[], $9::text[])
        AS n(stream_id, version, partition_key, partition, type, schema_version, data, metadata, message)
), logged AS (
    INSERT INTO events (position, stream_id, version, partition_key, partition, type, schema_version, data, metadata,
                        recorded_at)
    SELECT position, stream_id, version, partition_key, partition, type, schema_version, data::json, metadata::json,
           $10
      FROM new
), queued AS (
    INSERT INTO outbox (partition, message)
    SELECT partition, '{"sequence":"' || position || '",' || message FROM new
), queued_too AS (
    INSERT INTO outbox (partition, message) SELECT * FROM unnest($24::smallint[], $25::text[])
), claimed AS (
    INSERT INTO claims (name, owner) SELECT * FROM unnest($11::text[], $12::text[])
), remembered AS (
    INSERT INTO snapshots (stream_id, version, snapshot_version, state)
    SELECT stream_id, version, snapshot_version, state::jsonb
      FROM unnest($13::text[], $14::int[], $15::smallint[], $16::text[])
        AS s(stream_id, version, snapshot_version, state)
    ON CONFLICT (stream_id) DO UPDATE
       SET version = excluded.version, snapshot_version = excluded.snapshot_version, state = excluded.state
), finished AS (
    UPDATE receipts r SET status = f.status, outcome = f.outcome::json, completed_at = $10, message = NULL
      FROM unnest($26::text[], $27::text[], $28::text[]) AS f(command_id, status, outcome)
     WHERE r.command_id = f.command_id
)
INSERT INTO receipts (command_id, fingerprint, type, status, outcome, submitted_at, completed_at, message)
SELECT command_id, fingerprint, type, status, outcome::json, submitted_at,
       CASE WHEN outcome IS NOT NULL THEN $10::timestamptz END, message
  FROM unnest($17::text[], $18::bytea[], $19::text[], $20::text[], $21::text[], $22::timestamptz[], $23::text[])
    AS r(command_id, fingerprint, type, status, outcome, submitted_at, message)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream to load: from behind `known_version`, with a snapshot if there is one of this form."""

    stream_id: str
    known_version: int
    snapshot_version: int


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    fingerprint: bytes
    status: str
    outcome: str | None
    """None as long as the command is only accepted."""


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    version: int
    snapshot_version: int
    state: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    version: int
    type: str
    schema_version: int
    data: str


@dataclass(slots=True)
class Loaded:
    """What the log holds of the things that a batch touches. Streams: only what lies behind the known versions."""

    receipts: dict[str, StoredReceipt] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, StoredSnapshot] = field(default_factory=dict)
    events: dict[str, list[StoredEvent]] = field(default_factory=dict)


# Named tuples for what every command has, here and on its way here: see contracts.envelope.
class NewEvent(NamedTuple):
    stream_id: str
    version: int
    partition_key: str
    partition: int
    type: str
    schema_version: int
    data: str
    metadata: str
    message: str
    """The CloudEvent without its position, as `contracts.envelope.encode_unplaced` makes it."""


class NewReceipt(NamedTuple):
    """`outcome` is None for a command that is accepted, to be executed later; then `message` is the command itself."""

    command_id: str
    fingerprint: bytes
    type: str
    status: str
    outcome: str | None
    submitted_at: datetime
    message: str | None = None


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    stream_id: str
    version: int
    snapshot_version: int
    state: str


@dataclass(slots=True)
class Changes:
    """All that a batch writes, in the order in which it was decided."""

    events: list[NewEvent] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, NewSnapshot] = field(default_factory=dict)
    """Each stream's last: one statement can't write the same row twice."""
    receipts: dict[str, NewReceipt] = field(default_factory=dict)
    """By command id."""
    finished: dict[str, NewReceipt] = field(default_factory=dict)
    """Those whose receipt is there already, without its outcome."""
    queued: list[tuple[int, str]] = field(default_factory=list)
    """(lane of the outbox, message) of each command that is to be executed later."""

    def any(self) -> bool:
        return bool(self.receipts or self.finished or self.queued)


class BatchTransaction:
    """One transaction on one connection: `begin`, `load`, `append`, `commit`, in this order."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def begin(self, locks: Mapping[LockKey, bool]) -> None:
        """Begins and waits for all locks: one round trip."""
        await self._connection.execute(begin_and_lock(locks))

    async def load(self, command_ids: Sequence[str], claims: Sequence[str], wanted: Sequence[Wanted]) -> Loaded:
        """Receipts, claims, and of each wanted stream what lies behind the known version: one round trip.

        A statement of its own, later than the locks: under READ COMMITTED it sees whatever those who held them wrote.
        """
        rows = await self._connection.fetch(
            _LOAD,
            command_ids,
            claims,
            [w.stream_id for w in wanted],
            [w.known_version for w in wanted],
            [w.snapshot_version for w in wanted],
        )
        loaded = Loaded()
        for kind, key, version, event_type, schema_version, payload, fingerprint in rows:
            if kind == "event":
                event = StoredEvent(version, event_type, schema_version, payload)
                loaded.events.setdefault(key, []).append(event)
            elif kind == "receipt":
                loaded.receipts[key] = StoredReceipt(fingerprint, event_type, payload)
            elif kind == "claim":
                loaded.claims[key] = payload
            else:
                loaded.snapshots[key] = StoredSnapshot(version, schema_version, payload)
        return loaded

    async def append(self, changes: Changes, recorded_at: datetime) -> None:
        """Writes everything: one round trip."""
        events, receipts, snapshots = changes.events, changes.receipts.values(), changes.snapshots.values()
        finished = changes.finished.values()
        await self._connection.execute(
            _APPEND,
            [e.stream_id for e in events],
            [e.version for e in events],
            [e.partition_key for e in events],
            [e.partition for e in events],
            [e.type for e in events],
            [e.schema_version for e in events],
            [e.data for e in events],
            [e.metadata for e in events],
            [e.message for e in events],
            recorded_at,
            list(changes.claims),
            list(changes.claims.values()),
            [s.stream_id for s in snapshots],
            [s.version for s in snapshots],
            [s.snapshot_version for s in snapshots],
            [s.state for s in snapshots],
            [r.command_id for r in receipts],
            [r.fingerprint for r in receipts],
            [r.type for r in receipts],
            [r.status for r in receipts],
            [r.outcome for r in receipts],
            [r.submitted_at for r in receipts],
            [r.message for r in receipts],
            [lane for lane, _ in changes.queued],
            [message for _, message in changes.queued],
            [r.command_id for r in finished],
            [r.status for r in finished],
            [r.outcome for r in finished],
        )

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


def is_fault(error: BaseException) -> bool:
    """Whether the server or the way to it failed, rather than the statement: worth another attempt.

    What libraries wrapped is looked at as well.
    """
    cause: BaseException | None = error
    while cause is not None:
        if _is_driver_fault(cause):
            return True
        cause = cause.__cause__
    return False


def _is_driver_fault(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", "") or "").startswith(_FAULT_CLASSES)
    # An InternalClientError is what a connection that ended between two statements may leave the driver in. asyncpg's
    # ValueErrors say that a value can't be sent: the fault of the statement, for ever.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(
        error, ValueError
    )


# Connection, rolled back by the server's own doing, no connection or disk left, operator intervention, system
# error, idle in transaction, and read-only: a server that was demoted to a standby.
_FAULT_CLASSES: Final = ("08", "40", "53300", "53100", "57", "58", "25P03", "25006")
