"""Takes messages with aio-pika and acknowledges them, and does nothing else: what the broker and the driver allow.

`{"url", "queues", "count", "prefetch"}`. As our worker does, each queue has a connection of its own, and what has
arrived is acknowledged together.
"""

import asyncio
import time
from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from benchmarks.program import answer


class Queue:
    """The messages of one queue, acknowledged as they come."""

    def __init__(self, counted: "Count") -> None:
        self._counted = counted
        self._last: AbstractIncomingMessage | None = None

    async def receive(self, message: AbstractIncomingMessage) -> None:
        self._counted.add()
        if self._last is None:
            asyncio.get_running_loop().create_task(self._acknowledge())
        self._last = message

    async def _acknowledge(self) -> None:
        await asyncio.sleep(0)  # what arrives within this turn is acknowledged with it
        message, self._last = self._last, None
        if message is not None:
            await message.ack(multiple=True)


class Count:
    def __init__(self, total: int) -> None:
        self._left = total
        self.began = 0.0
        self.ended = 0.0
        self.done = asyncio.Event()

    def add(self) -> None:
        self.began = self.began or time.perf_counter()
        self._left -= 1
        if not self._left:
            self.ended = time.perf_counter()
            self.done.set()


async def run(request: dict[str, Any]) -> dict[str, Any]:
    count = Count(request["count"])
    connections = []
    for name in request["queues"]:
        connection = await aio_pika.connect(request["url"])
        connections.append(connection)
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=request["prefetch"])
        queue = await channel.get_queue(name)
        await queue.consume(Queue(count).receive)
    await count.done.wait()
    await asyncio.sleep(0.2)  # the last acknowledgement is on its way
    for connection in connections:
        await connection.close()
    seconds = count.ended - count.began
    return {"count": request["count"], "seconds": seconds, "rate": request["count"] / seconds}


if __name__ == "__main__":
    answer(lambda request: uvloop.run(run(request)))
