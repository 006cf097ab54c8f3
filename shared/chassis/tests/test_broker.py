"""A broker that hangs up while a client connects is one that can't be reached, whatever the driver makes of it."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError

from chassis import broker


@pytest.mark.parametrize("said", [b"", b"\x01", b"\x01\x00\x00\x00\x00\x01\xff\x00\x0a"])
async def test_a_broker_that_hangs_up_cant_be_reached(said: bytes) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((OSError, AMQPError)):
            await broker.connect(f"amqp://guest:guest@127.0.0.1:{port}/", "test")


@pytest.mark.parametrize("error", [StopAsyncIteration(), EOFError(), RuntimeError("the handler is closed")], ids=repr)
async def test_what_else_the_driver_says_of_it_is_a_lost_connection(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(aio_pika, "connect", connect)
    with pytest.raises(ConnectionResetError):
        await broker.connect("amqp://127.0.0.1/", "test")
