"""Publishes with confirms, on a connection that is made again when it was lost."""

import asyncio
from typing import Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, PublishError

from chassis import broker

CONFIRM_SECONDS: Final = 30.0

NOT_PUBLISHED: Final = (AMQPError, ChannelInvalidStateError, PublishError, OSError)
"""What publishing raises when the broker may have the message or not; to be tried again."""


class Publisher:
    """One connection and channel, opened when it is first used, shown to operators under `name`."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._connecting = asyncio.Lock()

    async def publish(self, exchange: str, key: str, message: aio_pika.Message) -> None:
        """Returns when a queue behind the exchange has the message. Raises `NOT_PUBLISHED`."""
        channel = await self.channel()
        target = await channel.get_exchange(exchange, ensure=False)
        await target.publish(message, key, mandatory=True, timeout=CONFIRM_SECONDS)

    async def channel(self) -> AbstractChannel:
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                await self.close()
                self._connection = await broker.connect(self._url, self._name)
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._channel

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and not connection.is_closed:
            await connection.close()
