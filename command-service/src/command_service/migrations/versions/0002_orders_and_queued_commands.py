"""Receipts of commands that are not executed yet, and what process managers remember."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # An accepted command has no outcome yet; `message` is the command itself, kept until it ended well.
    """
    ALTER TABLE receipts
        ALTER COLUMN outcome DROP NOT NULL,
        ALTER COLUMN completed_at DROP NOT NULL,
        ADD COLUMN message text
    """,
    """
    CREATE INDEX receipts_unfinished ON receipts (status, submitted_at, command_id)
     WHERE status IN ('accepted', 'failed')
    """,
    # One row for each stream that a manager follows: the gate (version), its state, and when its timer is due.
    """
    CREATE TABLE process_streams (
        manager   text NOT NULL,
        stream_id text NOT NULL,
        version   integer NOT NULL,
        state     jsonb NOT NULL,
        due_at    timestamptz,
        PRIMARY KEY (manager, stream_id)
    )
    """,
    "CREATE INDEX process_streams_due ON process_streams (manager, due_at) WHERE due_at IS NOT NULL",
    "CREATE TABLE process_checkpoints (manager text PRIMARY KEY, position bigint NOT NULL)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the log is append-only: restore a backup instead")
