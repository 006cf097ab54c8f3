"""A generation's queues at the broker: one a partition, bound before anything else is done for the generation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from chassis import broker
from chassis.consumer import Queue
from contracts.topology import EVENTS_EXCHANGE, EventQueue, read_model_subscriber, routing_key


def of(number: int, partitions: int) -> list[Queue]:
    queues = [EventQueue(read_model_subscriber(number), partition) for partition in range(partitions)]
    return [Queue(q.name, q.arguments, EVENTS_EXCHANGE, routing_key(q.partition)) for q in queues]


class Queues:
    """All queues of one generation. Every method raises `chassis.consumer.BROKER_LOST` when it can't be done."""

    def __init__(self, rabbitmq_url: str, number: int, partitions: int) -> None:
        self._url = rabbitmq_url
        self._queues = of(number, partitions)

    async def bind_anew(self) -> None:
        """From here on every event that is published comes into the queues; what was in them is gone."""
        async with self._connection() as connection:
            channel = await connection.channel()
            exchange = await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE)
            for queue in self._queues:
                await channel.queue_delete(queue.name)
                declared = await broker.declare_queue(channel, queue.name, queue.arguments)
                await declared.bind(exchange, queue.routing_key)

    async def delete(self) -> None:
        async with self._connection() as connection:
            channel = await connection.channel()
            for queue in self._queues:
                await channel.queue_delete(queue.name)

    async def consumers(self) -> list[int]:
        """How many consumers each queue has, those that stand by too; 0 when there is no such queue."""
        async with self._connection() as connection:
            return [(await _look(connection, queue.name))[0] for queue in self._queues]

    async def exist(self) -> bool:
        async with self._connection() as connection:
            return any([(await _look(connection, queue.name))[1] for queue in self._queues])

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        connection = await broker.connect(self._url, "stockroom-projector generations")
        async with connection:
            yield connection


async def _look(connection: AbstractConnection, name: str) -> tuple[int, bool]:
    """How many consumers a queue has, and whether it is there at all."""
    # What is asked for a queue that isn't there closes the channel.
    async with connection.channel() as channel:
        try:
            queue = await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:
            return 0, False
        return queue.declaration_result.consumer_count or 0, True
