"""The broker's side of queued commands: which queues there are, and publishing to them."""

from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, DeliveryMode

from chassis import broker, publisher
from chassis.consumer import Queue
from contracts.topology import (
    COMMANDS_EXCHANGE,
    COMMANDS_IN,
    CONTENT_TYPE_COMMANDS,
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    ORIGIN_HEADER,
    REASON_HEADER,
    CommandQueue,
    routing_key,
)


def command_queues(partitions: int) -> list[Queue]:
    """Those of the partitions in their order, and at last the one for publishers who don't know the partitions."""
    queues = [CommandQueue(key) for key in (*map(routing_key, range(partitions)), COMMANDS_IN)]
    return [Queue(queue.name, queue.arguments, COMMANDS_EXCHANGE, queue.key) for queue in queues]


async def declare_commands(channel: AbstractChannel, partitions: int) -> AbstractExchange:
    """The exchange with all its queues, so that nothing that is published there is lost before a worker has run."""
    await broker.declare_dead_letters(channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
    exchange = await broker.declare_direct_exchange(channel, COMMANDS_EXCHANGE)
    for queue in command_queues(partitions):
        declared = await broker.declare_queue(channel, queue.name, queue.arguments)
        await declared.bind(exchange, queue.routing_key)
    return exchange


class Publisher(publisher.Publisher):
    """Publishes what has to do with commands."""

    async def commands(self, key: str, body: bytes) -> None:
        """Returns when the broker has the message.

        Raises:
            AMQPError, OSError, TimeoutError: it may have it or not.
        """
        message = aio_pika.Message(body, content_type=CONTENT_TYPE_COMMANDS, delivery_mode=DeliveryMode.PERSISTENT)
        await self.publish(COMMANDS_EXCHANGE, key, message)

    async def dead_letter(self, body: bytes, reason: str) -> None:
        """Keeps a message that can't be used, with the reason. Raises as `commands` does."""
        message = aio_pika.Message(
            body,
            headers={REASON_HEADER: reason, ORIGIN_HEADER: COMMANDS_EXCHANGE},
            delivery_mode=DeliveryMode.PERSISTENT,
            timestamp=datetime.now(UTC),
        )
        await self.publish(DEAD_LETTER_EXCHANGE, "", message)
