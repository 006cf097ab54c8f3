"""Telling the relay that there is something to publish, and whoever waits for a command that some have ended, outside
of any write transaction.

`NOTIFY` inside a transaction takes a lock of the whole database at commit. Here one task of the process says it on a
connection of its own, once for all commits since the last time. It may get lost: those who listen also poll.
"""

import asyncio
from typing import Final

import asyncpg

from chassis.logging import get_logger
from command_service.event_store.store import is_fault

log = get_logger(__name__)

CHANNEL: Final = "stockroom_outbox"
ENDED_CHANNEL: Final = "stockroom_ended"
"""Some command that was accepted has ended."""

_RETRY_SECONDS: Final = 1.0


class WakeUp:
    """Call `relay` or `waiting` after a commit; run `run` beside it, once."""

    def __init__(self, postgres_url: str) -> None:
        self._postgres_url = postgres_url
        self._committed = asyncio.Event()
        self._channels: set[str] = set()

    def relay(self) -> None:
        self._channels.add(CHANNEL)
        self._committed.set()

    def waiting(self) -> None:
        self._channels.add(ENDED_CHANNEL)
        self._committed.set()

    async def run(self) -> None:
        """Notifies until cancelled, over lost connections too."""
        while True:
            try:
                await self._notify_until_lost()
            except Exception as error:
                if not (is_fault(error) or isinstance(error, asyncpg.PostgresError)):
                    raise
                log.warning("wake_up_lost", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _notify_until_lost(self) -> None:
        connection = await asyncpg.connect(
            self._postgres_url, timeout=5, command_timeout=10, server_settings={"application_name": "stockroom-wake-up"}
        )
        try:
            while True:
                await self._committed.wait()
                self._committed.clear()
                channels, self._channels = self._channels, set()
                await connection.execute(";".join(f"NOTIFY {channel}" for channel in channels))
        finally:
            connection.terminate()
