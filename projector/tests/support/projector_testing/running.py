"""A projector that runs in the test's own loop, with the broker and the log around it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import PublishError
from aiormq.exceptions import ChannelNotFoundEntity
from redis.asyncio import Redis

from chassis.tasks import end
from contracts.envelope import RecordedEvent
from contracts.keys import Generation
from contracts.topology import (
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    EventQueue,
    partition_of,
    read_model_subscriber,
    routing_key,
)
from projector import bootstrap, redis_client
from projector.bootstrap import Projector
from projector.settings import ProjectorSettings
from projector_testing.command_service import CommandService
from projector_testing.read_model import becomes_level, eventually
from projector_testing.shop import PARTITIONS, Log, message

SUBSCRIBER = read_model_subscriber(1)


@dataclass
class World:
    """The servers around a projector, and its log. `start` and `stop` may be called again and again."""

    service: CommandService
    rabbitmq_url: str
    redis_url: str
    redis: Redis

    @property
    def log(self) -> Log:
        return self.service.log

    def settings(self) -> ProjectorSettings:
        return ProjectorSettings(
            rabbitmq_url=self.rabbitmq_url,
            redis_url=self.redis_url,
            command_url=self.service.url,
            walk_interval=0.2,
        )

    @asynccontextmanager
    async def projector(self) -> AsyncIterator[Projector]:
        """A projector that runs meanwhile; a failure of its work fails the test."""
        projector = bootstrap.build(self.settings())
        work = asyncio.create_task(projector.run())
        try:
            yield projector
            assert not work.done(), work
        finally:
            await end(work)

    async def ready(self, projector: Projector) -> None:
        async def is_ready() -> bool:
            return (await projector.health.ready())[0]

        await eventually(is_ready, "the projector is ready")

    async def consuming(self, projector: Projector) -> None:
        async def consumed() -> bool:
            pipeline = projector.pipeline
            return pipeline is not None and len(pipeline.consumer.consumed) == PARTITIONS

        await eventually(consumed, "every queue is there and consumed")

    async def level(self, generation: int = 1) -> None:
        await becomes_level(self.redis, self.log, Generation(generation))

    async def publish(self, events: Iterable[RecordedEvent], *, packed: int = 10) -> None:
        """Sends events as the relay does: each partition's in order, several in a message."""
        partitions: dict[int, list[RecordedEvent]] = {}
        for event in events:
            partitions.setdefault(partition_of(event.partition_key, PARTITIONS), []).append(event)
        for partition, recorded in partitions.items():
            for start in range(0, len(recorded), packed):
                await self.publish_raw(partition, message(recorded[start : start + packed]))

    async def publish_raw(self, partition: int, body: bytes) -> None:
        """Sends a message, and sends it again as long as there is no queue yet to take it, as the relay does."""
        async with self._channel() as channel:
            exchange = await channel.get_exchange(EVENTS_EXCHANGE)

            async def taken() -> bool:
                try:
                    await exchange.publish(aio_pika.Message(body, delivery_mode=2), routing_key(partition))
                except PublishError:
                    return False
                return True

            await eventually(taken, f"partition {partition} has a queue")

    async def dead_letters(self) -> int:
        async with self._channel() as channel:
            queue = await channel.declare_queue(DEAD_LETTER_QUEUE, passive=True)
            return queue.declaration_result.message_count or 0

    async def queued(self, generation: int = 1) -> int | None:
        """Messages in a generation's queues that nobody has in hand; None as long as one of them is not there."""
        async with self._channel() as channel:
            counts = 0
            for partition in range(PARTITIONS):
                name = EventQueue(read_model_subscriber(generation), partition).name
                try:
                    queue = await channel.declare_queue(name, passive=True)
                except ChannelNotFoundEntity:
                    return None
                counts += queue.declaration_result.message_count or 0
            return counts

    async def delete_queues(self) -> None:
        async with self._channel() as channel:
            for partition in range(PARTITIONS):
                await channel.queue_delete(EventQueue(SUBSCRIBER, partition).name)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        connection: AbstractConnection = await aio_pika.connect(self.rabbitmq_url)
        async with connection:
            yield await connection.channel(on_return_raises=True)


@asynccontextmanager
async def world(log: Log, rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    redis = redis_client.connect(redis_url)
    async with CommandService(log) as service:
        try:
            yield World(service, rabbitmq_url, redis_url, redis)
        finally:
            await redis.aclose()
