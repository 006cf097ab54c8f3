"""The tables of the write side. `migrations` creates them; this is how queries name them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

FIND_BY_KEY: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of a connection whose statements all find their rows by key. Else a plan that was made while a table was
empty, or had just been, reads the whole of it, and is kept while it grows."""

metadata: Final = MetaData()

events: Final = Table(
    "events",
    metadata,
    Column("position", BigInteger, primary_key=True),
    Column("stream_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("partition_key", Text, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("data", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("partition", SmallInteger, nullable=False),
    Column("message", Text, nullable=False),
)

receipts: Final = Table(
    "receipts",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", JSON),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("message", Text),
)

claims: Final = Table(
    "claims",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
)

snapshots: Final = Table(
    "snapshots",
    metadata,
    Column("stream_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("snapshot_version", SmallInteger, nullable=False),
    Column("state", JSONB, nullable=False),
)

process_streams: Final = Table(
    "process_streams",
    metadata,
    Column("manager", Text, primary_key=True),
    Column("stream_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("due_at", DateTime(timezone=True)),
)

process_checkpoints: Final = Table(
    "process_checkpoints",
    metadata,
    Column("manager", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

generations: Final = Table(
    "generations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("switched_at", DateTime(timezone=True)),
)

discards: Final = Table(
    "discards",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("partition_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text),
    Column("discarded_at", DateTime(timezone=True), nullable=False),
)

shop: Final = Table(
    "shop",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
