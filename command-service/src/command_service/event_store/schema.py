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
    Column("outcome", JSON, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True), nullable=False),
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

shop: Final = Table(
    "shop",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
