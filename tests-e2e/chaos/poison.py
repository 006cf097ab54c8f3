"""An event that this version of the projector can't apply, really in the log: one product stands still, no other."""

import asyncio
import json
import time
from datetime import UTC, datetime
from random import Random
from typing import Final
from uuid import uuid4

import asyncpg
import httpx

from chaos.faults import Fault, Skipped
from chaos.shop import Shop
from contracts.envelope import Metadata, RecordedEvent, encode, rfc3339
from contracts.topology import DEFAULT_PARTITIONS, partition_of
from system import wait_for

STREAMS: Final[set[str]] = set()
"""Streams of a kind that only a newer version of us would write."""

_MARK: Final = """
SELECT pg_advisory_xact_lock_shared((21360::bigint << 48) + CASE WHEN is_called THEN last_value ELSE 0 END)
  FROM events_position_seq
"""
"""What every writer of the log holds while it draws a position, so that the feed waits for it."""


def poisoned(shop: Shop, random: Random) -> str:
    """Its product stands at its last good state until the event is discarded; its neighbours in the partition go on."""
    projector = shop.all["projector"][0].url
    if httpx.get(f"{projector}/parked", timeout=10).status_code != 200:
        raise Skipped("there is no GET /parked")
    product_id = str(uuid4())
    added = shop.command.post("/products", json={"id": product_id, "name": "Poisoned", "price": "1.00"})
    assert added.status_code == 201, added.text
    token = added.headers["consistency-token"]
    wait_for("it is shown", lambda: _get(shop, product_id, token).status_code == 200, 60)
    event_id = asyncio.run(_write(shop.servers.postgres.url, product_id))
    wait_for("the key is parked", lambda: product_id in httpx.get(f"{projector}/parked", timeout=10).text, 60)

    changed = shop.command.post(f"/products/{product_id}/price-changes", json={"price": "2.00"})
    token = changed.headers["consistency-token"]
    neighbour = shop.witnesses[partition_of(product_id, DEFAULT_PARTITIONS)]
    price = f"{random.randrange(10**6)}.50"
    shop.command.post(f"/products/{neighbour}/price-changes", json={"price": price})
    wait_for("its neighbour goes on", lambda: _get(shop, neighbour).json().get("price") == price, 60)
    behind = _get(shop, product_id, token)
    assert behind.status_code == 503, f"the token of a parked product was answered {behind.status_code}"
    assert _get(shop, product_id).json()["price"] == "1.00", "a parked product moved"

    began = time.monotonic()
    discarded = httpx.post(
        f"{projector}/parked/{product_id}/discard",
        json={"event_id": event_id, "reason": "nobody here can read it"},
        timeout=30,
    )
    assert discarded.is_success, f"the discard was answered {discarded.status_code} {discarded.text}"
    wait_for("it goes on", lambda: _get(shop, product_id, token).status_code == 200, 60)
    assert _get(shop, product_id, token).json()["price"] == "2.00"
    return f"level {time.monotonic() - began:.1f} s after the discard"


def _get(shop: Shop, product_id: str, token: str | None = None) -> httpx.Response:
    headers = {"Consistency-Token": token, "Prefer": "wait=1"} if token else {}
    return shop.query.get(f"/products/{product_id}", headers=headers)


async def _write(postgres_url: str, product_id: str) -> str:
    """Into the log and the outbox, as a newer command service would; returns the event's id."""
    stream = f"bundle-{product_id}"
    STREAMS.add(stream)
    now = datetime.now(UTC)
    partition = partition_of(product_id, DEFAULT_PARTITIONS)
    command = f"chaos-{uuid4()}"
    metadata = Metadata("SellAsBundle", command, command, command)
    data = {"with": "something of a later version"}
    connection = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await connection.execute(_MARK)
            position: int = await connection.fetchval("SELECT nextval('events_position_seq')")
            event = RecordedEvent(
                position, stream, 1, product_id, "SoldAsBundle", 1, data, rfc3339(now), rfc3339(now), metadata
            )
            await connection.execute(
                "INSERT INTO events VALUES ($1, $2, 1, $3, $4, $5, 1, $6, $7, $8)",
                position,
                stream,
                product_id,
                partition,
                event.type,
                json.dumps(data),
                json.dumps({**_known(metadata)}),
                now,
            )
            await connection.execute(
                "INSERT INTO outbox (partition, message) VALUES ($1, $2)", partition, encode(event).decode()
            )
    finally:
        await connection.close()
    return event.id


def _known(metadata: Metadata) -> dict[str, str]:
    return {
        "command": metadata.command,
        "command_id": metadata.command_id,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
    }


FAULTS: Final = (Fault("poison", poisoned, is_alone=True),)
