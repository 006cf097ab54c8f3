"""An outbox drained by `faststream-outbox` into RabbitMQ.

`{"postgres", "rabbitmq", "count", "body", "workers", "most_seconds"}`

The table is filled through the library's own `publish_batch`. Its rate does not depend on how many rows there are,
so it is stopped after `most_seconds`.

What was chosen, and why it is good for this library:

- The relay of its documentation, a RabbitMQ publisher on top of an outbox subscriber. The handler passes bytes on:
  nothing is parsed, validated or encoded twice (``apply_types=False``, a body that is bytes already).
- ``terminal_flush_batch_size=100``, the batched flush: rows that were published are deleted a hundred at a time.
- ``fetch_batch_size=1000``: rows are claimed a thousand at a time.
- As many workers as are fastest here, which the row tries: so many publishes wait for their confirms at a time. They
  are tasks of one process, as in our relay.
- asyncpg with LISTEN, autovacuum as the library recommends it for the table.
- The queue is a quorum queue, messages are persistent, and every publish waits for its confirm, as on our side.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvloop
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.program import answer

QUEUE = "relayed"
FETCHED = 1000
FLUSHED = 100
PUBLISHED_TOGETHER = 1000


class Confirmed:
    """Counts the rows that were published, confirmed and deleted, as the library itself reports them."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.count = 0
        self.all = asyncio.Event()

    def __call__(self, event: str, _tags: Mapping[str, Any]) -> None:
        self.count += event == "acked"
        if self.count == self._total:
            self.all.set()


async def fill(outbox: OutboxBroker, engine: AsyncEngine, count: int, body: bytes) -> None:
    for first in range(0, count, PUBLISHED_TOGETHER):
        bodies = [body] * min(PUBLISHED_TOGETHER, count - first)
        async with engine.begin() as connection:
            await outbox.publish_batch(*bodies, queue=QUEUE, session=connection)


async def run(request: dict[str, Any]) -> dict[str, Any]:
    metadata = MetaData()
    table = make_outbox_table(metadata)
    engine = create_async_engine(
        request["postgres"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=request["workers"] + 4
    )
    confirmed = Confirmed(request["count"])
    outbox = OutboxBroker(engine, outbox_table=table, metrics_recorder=confirmed, apply_types=False, logger=None)
    rabbit = RabbitBroker(
        request["rabbitmq"], default_channel=Channel(publisher_confirms=True), apply_types=False, logger=None
    )
    queue = RabbitQueue(QUEUE, durable=True, queue_type=QueueType.QUORUM)

    @rabbit.publisher(queue, persist=True)
    @outbox.subscriber(
        QUEUE,
        max_workers=request["workers"],
        fetch_batch_size=FETCHED,
        terminal_flush_batch_size=FLUSHED,
        min_fetch_interval=0.01,
        max_fetch_interval=1.0,
    )
    async def relay(body: bytes) -> bytes:
        return body

    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text(outbox_autovacuum_ddl("outbox")))
    await fill(outbox, engine, request["count"], request["body"].encode())
    await rabbit.start()
    await rabbit.declare_queue(queue)
    began = time.perf_counter()
    await outbox.start()
    with suppress(TimeoutError):
        async with asyncio.timeout(request["most_seconds"]):
            await confirmed.all.wait()
    await outbox.stop()  # what is in hand is published, confirmed and deleted
    seconds = time.perf_counter() - began
    await rabbit.stop()
    await engine.dispose()
    return {"count": confirmed.count, "seconds": seconds, "rate": confirmed.count / seconds}


if __name__ == "__main__":
    answer(lambda request: uvloop.run(run(request)))
