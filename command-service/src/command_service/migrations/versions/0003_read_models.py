"""What read models must find when Redis has lost all: their generations, what was discarded, and the log key by key."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE generations (
        number      integer PRIMARY KEY,
        status      text NOT NULL CHECK (status IN ('building', 'live', 'kept', 'dropped')),
        created_at  timestamptz NOT NULL DEFAULT now(),
        switched_at timestamptz
    )
    """,
    # At most one of each: whatever runs at the same time.
    "CREATE UNIQUE INDEX generations_live ON generations (status) WHERE status = 'live'",
    "CREATE UNIQUE INDEX generations_building ON generations (status) WHERE status = 'building'",
    "INSERT INTO generations (number, status) VALUES (1, 'live')",
    """
    CREATE TABLE discards (
        event_id      text PRIMARY KEY,
        partition_key text NOT NULL,
        reason        text NOT NULL,
        actor         text,
        discarded_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    # The registry of streams, one entry each, in the order of bytes, which is the same on every machine.
    """
    CREATE INDEX events_streams ON events (partition, partition_key COLLATE "C", stream_id COLLATE "C")
     WHERE version = 1
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the log is append-only: restore a backup instead")
