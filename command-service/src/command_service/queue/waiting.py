"""Waiting until commands have ended, wherever they are executed: told by Postgres, never asked again and again.

All that wait in a process share one look at the receipts: after each notification, and now and then for those that got
lost.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from chassis.logging import get_logger
from command_service.event_store.store import is_fault
from command_service.outbox.wake_up import ENDED_CHANNEL
from command_service.queue.receipts import Receipts

log = get_logger(__name__)

_LOOK_SECONDS: Final = 0.5
"""Seconds between looks when no notification comes."""

_RETRY_SECONDS: Final = 0.5


class Endings:
    """Run `run` beside `wait`, once."""

    def __init__(self, receipts: Receipts, postgres_url: str) -> None:
        self._receipts = receipts
        self._postgres_url = postgres_url
        self._awaited: dict[str, list[asyncio.Future[None]]] = {}
        self._look = asyncio.Event()

    async def wait(self, command_ids: Sequence[str], seconds: float) -> None:
        """Until all of the commands have ended, or so many seconds have passed."""
        loop = asyncio.get_running_loop()
        futures: list[tuple[str, asyncio.Future[None]]] = [(i, loop.create_future()) for i in command_ids]
        for command_id, future in futures:
            self._awaited.setdefault(command_id, []).append(future)
        self._look.set()
        try:
            await asyncio.wait([future for _, future in futures], timeout=seconds)
        finally:
            for command_id, future in futures:
                future.cancel()
                self._forget(command_id, future)

    def _forget(self, command_id: str, future: "asyncio.Future[None]") -> None:
        waiting = self._awaited.get(command_id, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._awaited.pop(command_id, None)

    async def run(self) -> None:
        """Looks until cancelled, over lost connections too."""
        while True:
            try:
                await self._look_until_lost()
            except Exception as error:
                if not (is_fault(error) or isinstance(error, SQLAlchemyError | asyncpg.PostgresError)):
                    raise
                log.warning("endings_lost", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _look_until_lost(self) -> None:
        connection = await asyncpg.connect(
            self._postgres_url, timeout=5, command_timeout=10, server_settings={"application_name": "stockroom-endings"}
        )
        try:
            await connection.add_listener(ENDED_CHANNEL, lambda *_: self._look.set())
            while not connection.is_closed():
                await self._until_time_to_look()
                if self._awaited:
                    await self._tell()
        finally:
            connection.terminate()

    async def _until_time_to_look(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._look.wait()
        except TimeoutError:
            pass
        self._look.clear()

    async def _tell(self) -> None:
        for command_id in await self._receipts.find(self._awaited, ended=True):
            for future in self._awaited.pop(command_id, ()):
                if not future.done():
                    future.set_result(None)
