"""All that Postgres holds, read directly."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Logged:
    """An event. `transaction` is the one that wrote it."""

    position: int
    stream: str
    version: int
    key: str
    type: str
    data: dict[str, Any]
    command: str
    command_type: str
    time: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Receipt:
    status: str
    type: str
    outcome: dict[str, Any]
    transaction: str


@dataclass(slots=True)
class Log:
    """All that Postgres holds at the end."""

    events: list[Logged] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    outbox: int = 0


def read(postgres_url: str) -> Log:
    async def run() -> Log:
        connection = await asyncpg.connect(postgres_url)
        try:
            log = Log()
            async with connection.transaction(isolation="repeatable_read"):
                async for row in connection.cursor("SELECT *, xmin::text FROM events ORDER BY position"):
                    log.events.append(_logged(row))
                async for row in connection.cursor(
                    "SELECT command_id, status, type, outcome, xmin::text FROM receipts"
                ):
                    outcome = json.loads(row["outcome"]) if row["outcome"] else {}
                    receipt = Receipt(row["status"], row["type"], outcome, row["xmin"])
                    log.receipts[row["command_id"]] = receipt
                log.outbox = await connection.fetchval("SELECT count(*) FROM outbox")
        finally:
            await connection.close()
        return log

    return asyncio.run(run())


def _logged(row: Any) -> Logged:
    metadata = json.loads(row["metadata"])
    at = row["recorded_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Logged(
        row["position"],
        row["stream_id"],
        row["version"],
        row["partition_key"],
        row["type"],
        json.loads(row["data"]),
        metadata["command_id"],
        metadata["command"],
        metadata.get("effective_at") or at,
        row["xmin"],
    )
