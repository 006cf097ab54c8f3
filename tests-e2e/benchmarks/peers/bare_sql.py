"""The rows of a log, written once more in the same batches from ready arrays: what Postgres allows the write side.

`{"source", "target"}`: two databases with our tables; what stands in the one is written into the other. A batch is
one statement, which is its own transaction: one round trip. All commands of a batch were recorded at the same
moment.
"""

import time
from itertools import groupby
from typing import Any

import asyncpg
import uvloop

from benchmarks.program import answer

EVENTS = """
SELECT position, stream_id, version, partition_key, partition, type, schema_version, data::text, metadata::text,
       recorded_at
  FROM events ORDER BY position
"""
OUTBOX = "SELECT partition, message FROM outbox ORDER BY seq"
RECEIPTS = """
SELECT command_id, fingerprint, type, status, outcome::text, submitted_at, completed_at
  FROM receipts ORDER BY completed_at
"""
WRITE = """
WITH logged AS (
    INSERT INTO events (position, stream_id, version, partition_key, partition, type, schema_version, data, metadata,
                        recorded_at)
    SELECT position, stream_id, version, partition_key, partition, type, schema_version, data::json, metadata::json, at
      FROM unnest($1::bigint[], $2::text[], $3::int[], $4::text[], $5::smallint[], $6::text[], $7::smallint[],
                  $8::text[], $9::text[], $10::timestamptz[])
        AS e(position, stream_id, version, partition_key, partition, type, schema_version, data, metadata, at)
), queued AS (
    INSERT INTO outbox (partition, message) SELECT * FROM unnest($11::smallint[], $12::text[])
)
INSERT INTO receipts (command_id, fingerprint, type, status, outcome, submitted_at, completed_at)
SELECT command_id, fingerprint, type, status, outcome::json, submitted_at, completed_at
  FROM unnest($13::text[], $14::bytea[], $15::text[], $16::text[], $17::text[], $18::timestamptz[], $19::timestamptz[])
    AS r(command_id, fingerprint, type, status, outcome, submitted_at, completed_at)
"""


def columns(rows: list[Any], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


async def batches(source: asyncpg.Connection) -> list[list[list[Any]]]:
    """The arguments of `WRITE`, one list a batch."""
    outbox = iter(await source.fetch(OUTBOX))
    receipts = {
        at: list(rows) for at, rows in groupby(await source.fetch(RECEIPTS), key=lambda row: row["completed_at"])
    }
    # Two batches that are written at the same time draw their positions in turn.
    recorded: dict[Any, list[Any]] = {}
    for row in await source.fetch(EVENTS):
        recorded.setdefault(row["recorded_at"], []).append(row)
    found = []
    for at, events in recorded.items():
        queued = [next(outbox) for _ in events]
        found.append([*columns(events, 10), *columns(queued, 2), *columns(receipts[at], 7)])
    return found


async def run(request: dict[str, Any]) -> dict[str, Any]:
    source = await asyncpg.connect(request["source"])
    ready = await batches(source)
    await source.close()
    target = await asyncpg.connect(request["target"])
    write = await target.prepare(WRITE)
    began = time.perf_counter()
    for batch in ready:
        await write.fetch(*batch)
    seconds = time.perf_counter() - began
    await target.close()
    commands = sum(len(batch[12]) for batch in ready)
    return {"count": commands, "batches": len(ready), "seconds": seconds, "rate": commands / seconds}


if __name__ == "__main__":
    answer(lambda request: uvloop.run(run(request)))
