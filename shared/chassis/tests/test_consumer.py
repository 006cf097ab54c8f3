"""A consumer lets go of its queue, however it is ended."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from chassis import tasks
from chassis.consumer import _Session
from chassis.tasks import end


class Connection:
    """As much of a connection as a session needs."""

    def __init__(self) -> None:
        self.close_callbacks: set[Any] = set()
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Deaf:
    """Work that misses its first cancellation, as a driver's `wait_for` may make it do."""

    async def receive(self, _message: AbstractIncomingMessage, /) -> None: ...

    async def run(self) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()


async def test_a_session_that_is_cancelled_while_its_work_ends_closes_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "END_SECONDS", 0.01)
    connection = Connection()
    session = _Session(cast(AbstractConnection, connection))
    session.work(Deaf())
    await asyncio.sleep(0)
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    await end(closing)
    assert connection.is_closed
