"""A connection to the broker that says when it is gone, and nothing that reconnects behind one's back.

Whoever holds a connection also holds state that ends with it (unconfirmed messages, unacknowledged deliveries), so
each process runs its own loop: connect, work until the connection is lost, begin again.
"""

import asyncio
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractQueue, ExchangeType

HEARTBEAT = 10
"""Seconds between heartbeats: a broker that vanished without a word is noticed after about two."""

CONNECT_DEADLINE = 10.0
"""Seconds that connecting may take."""


async def connect(url: str, name: str) -> AbstractConnection:
    """A connection shown under `name` in the broker's management pages.

    Raises:
        OSError, aio_pika.exceptions.AMQPError: the broker can't be reached.
    """
    try:
        return await aio_pika.connect(
            url, timeout=CONNECT_DEADLINE, heartbeat=HEARTBEAT, client_properties={"connection_name": name}
        )
    except (StopAsyncIteration, EOFError, RuntimeError) as error:
        # That is how the driver says that the broker hung up in the midst of the handshake.
        raise ConnectionResetError(f"{type(error).__name__}: {error}") from error


def lost(closable: AbstractConnection | AbstractChannel) -> asyncio.Event:
    """An event that is set when the connection or channel is closed, by whichever side."""
    event = asyncio.Event()
    closable.close_callbacks.add(lambda *_: event.set())
    if closable.is_closed:
        event.set()
    return event


async def declare_direct_exchange(channel: AbstractChannel, name: str) -> AbstractExchange:
    return await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)


async def declare_queue(channel: AbstractChannel, name: str, arguments: dict[str, Any]) -> AbstractQueue:
    return await channel.declare_queue(name, durable=True, arguments=arguments)


async def declare_dead_letters(channel: AbstractChannel, exchange: str, queue: str) -> None:
    """Where messages that can't be read at all are kept: one quorum queue behind a fanout exchange."""
    dead = await channel.declare_exchange(exchange, ExchangeType.FANOUT, durable=True)
    kept = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
    await kept.bind(dead)
