"""Puts commands on Stockroom's command exchange, one a message, as a program of somebody else's would.

`{"url", "count", "prefix", "partitions", "by"}`: `by` is `partition` for whoever knows the partitions, or `in`.
"""

import asyncio
from itertools import islice
from typing import Any

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractExchange, DeliveryMode

from benchmarks import workload
from benchmarks.program import answer
from contracts.topology import COMMANDS_EXCHANGE, COMMANDS_IN, CONTENT_TYPE_COMMANDS, partition_of, routing_key

UNCONFIRMED = 1000
"""Messages that are on their way at a time."""


def key_of(command: workload.Command, partitions: int) -> str:
    data = command["data"]
    return routing_key(partition_of(data.get("product_id") or data["id"], partitions))


async def publish(exchange: AbstractExchange, command: workload.Command, key: str) -> None:
    message = aio_pika.Message(
        orjson.dumps(command), content_type=CONTENT_TYPE_COMMANDS, delivery_mode=DeliveryMode.PERSISTENT
    )
    await exchange.publish(message, key)


async def run(request: dict[str, Any]) -> dict[str, Any]:
    commands = workload.identified(workload.mixed(request["count"]), request["prefix"])
    by_partition = request["by"] == "partition"
    async with await aio_pika.connect(request["url"]) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(COMMANDS_EXCHANGE)
        while some := list(islice(commands, UNCONFIRMED)):
            keys = [key_of(command, request["partitions"]) if by_partition else COMMANDS_IN for command in some]
            await asyncio.gather(*map(publish, [exchange] * len(some), some, keys))
    return {"count": request["count"]}


if __name__ == "__main__":
    answer(lambda request: uvloop.run(run(request)))
