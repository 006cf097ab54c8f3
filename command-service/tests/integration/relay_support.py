"""A subscriber of the test's own, and the relay beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
import asyncpg
import orjson
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from chassis import broker
from chassis.tasks import end
from command_service.outbox.relay import Relay
from contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    EventQueue,
    routing_key,
    routing_key_of_kind,
)

from .support import DEADLINE, PARTITIONS


class Subscriber:
    """Takes everything from its queues, one a partition, and keeps it in the order of arrival."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.messages: list[AbstractIncomingMessage] = []
        self._arrived = asyncio.Condition()

    async def bind(self, partitions: range = range(PARTITIONS), kind: str | None = None) -> None:
        """To everything of these partitions, or to what has events of one kind of stream."""
        exchange = await broker.declare_direct_exchange(self.channel, EVENTS_EXCHANGE)
        await broker.declare_dead_letters(self.channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        for partition in partitions:
            wanted = EventQueue(f"test-{kind}" if kind else "test", partition)
            queue = await broker.declare_queue(self.channel, wanted.name, wanted.arguments)
            await queue.bind(exchange, routing_key_of_kind(partition, kind) if kind else routing_key(partition))
            await queue.consume(self._take)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()
        await message.ack()

    async def until(self, enough: Callable[[list[AbstractIncomingMessage]], bool]) -> list[AbstractIncomingMessage]:
        async with asyncio.timeout(DEADLINE), self._arrived:
            await self._arrived.wait_for(lambda: enough(self.messages))
        return list(self.messages)


@asynccontextmanager
async def subscriber(rabbitmq_url: str) -> AsyncIterator[Subscriber]:
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=50)
        yield Subscriber(channel)


@asynccontextmanager
async def relaying(postgres_url: str, rabbitmq_url: str) -> AsyncIterator[Relay]:
    """A relay that runs as long as the block."""
    relay = Relay(postgres_url, rabbitmq_url, PARTITIONS)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        await end(task)


async def put(sql: asyncpg.Connection, count: int, partitions: int = PARTITIONS, first: int = 0) -> None:
    """`count` rows into the outbox, numbered through, spread over partitions."""
    await sql.execute(
        "INSERT INTO outbox (partition, message) "
        "SELECT n % $3, '{\"n\":' || n || '}' FROM generate_series($2::int, $1 - 1) n",
        first + count,
        first,
        partitions,
    )


def numbers(messages: list[AbstractIncomingMessage]) -> list[int]:
    return [event["n"] for message in messages for event in orjson.loads(message.body)]


def first_times(seen: list[int]) -> list[int]:
    return list(dict.fromkeys(seen))


def assert_in_order(messages: list[AbstractIncomingMessage], count: int) -> None:
    """All of 0…count-1 came, and each partition's for the first time in its order."""
    assert set(numbers(messages)) == set(range(count))
    by_partition: dict[str | None, list[int]] = {}
    for message in messages:
        by_partition.setdefault(message.routing_key, []).extend(numbers([message]))
    for seen in by_partition.values():
        assert first_times(seen) == sorted(set(seen))
