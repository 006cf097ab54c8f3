"""A connection of the executor, on which one batch at a time is committed, and what it has seen of the log."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from command_service.executor.states import StateMemory


class Session:
    """Connects when it is first used, and again after it was disconnected.

    `memory` is of the log behind this very connection. What is behind another may be another log: a database that was
    restored from a backup, or a standby that has taken over and lacks the last events.
    """

    def __init__(self, engine: AsyncEngine, memory: int) -> None:
        """`memory`: so many states at most."""
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self.memory = StateMemory(memory)

    async def connect(self) -> asyncpg.Connection:
        """The driver's connection.

        Raises:
            OSError, asyncpg.InterfaceError: there is none to be had, for whatever reason.
        """
        if self._connection is None:
            try:
                self._connection = await self._engine.connect()
            except (asyncpg.PostgresError, SQLAlchemyError) as refusal:
                # Whatever the reason (no such role, a standby, maintenance): nothing was asked of it yet.
                raise ConnectionError(f"Postgres refuses connections: {refusal}") from refusal
        raw = await self._connection.get_raw_connection()
        driver: asyncpg.Connection = raw.driver_connection
        if driver.is_closed():
            raise ConnectionError("the connection was closed")
        return driver

    async def disconnect(self) -> None:
        """Drops the connection, and with it the transaction, its locks, and all that is remembered of the log."""
        connection, self._connection = self._connection, None
        self.memory.clear()
        if connection is not None:
            try:
                await connection.invalidate()
            finally:
                await connection.close()
