"""The write side: log, outbox, receipts, claims, snapshots, and the shop's own facts."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    "CREATE SEQUENCE events_position_seq AS bigint",
    """
    CREATE TABLE events (
        position       bigint PRIMARY KEY,
        stream_id      text NOT NULL,
        version        integer NOT NULL CHECK (version >= 1),
        partition_key  text NOT NULL,
        partition      smallint NOT NULL,
        type           text NOT NULL,
        schema_version smallint NOT NULL,
        data           json NOT NULL,
        metadata       json NOT NULL,
        recorded_at    timestamptz NOT NULL,
        UNIQUE (stream_id, version)
    )
    """,
    "COMMENT ON TABLE events IS 'The log. Append-only: updates and deletes are refused.'",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    # Rows come and go at the rate of the events: vacuum by number of rows, not by share of the table.
    """
    CREATE TABLE outbox (
        seq       bigint GENERATED ALWAYS AS IDENTITY,
        partition smallint NOT NULL,
        message   text NOT NULL,
        PRIMARY KEY (partition, seq)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)
    """,
    # Not jsonb: the first outcome is answered again in the very same bytes.
    """
    CREATE TABLE receipts (
        command_id   text PRIMARY KEY,
        fingerprint  bytea NOT NULL,
        type         text NOT NULL,
        status       text NOT NULL,
        outcome      json NOT NULL,
        submitted_at timestamptz NOT NULL,
        completed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX receipts_completed_at ON receipts USING brin (completed_at)",
    "CREATE TABLE claims (name text PRIMARY KEY, owner text NOT NULL)",
    """
    CREATE TABLE snapshots (
        stream_id        text PRIMARY KEY,
        version          integer NOT NULL,
        snapshot_version smallint NOT NULL,
        state            jsonb NOT NULL
    )
    """,
    "CREATE TABLE shop (name text PRIMARY KEY, value text NOT NULL)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the log is append-only: restore a backup instead")
