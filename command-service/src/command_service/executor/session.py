"""A connection of the executor: one batch at a time is committed on it."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class Session:
    """Connects when it is first used, and again after it was disconnected."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

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
        """Drops the connection, and with it the transaction and its locks."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.invalidate()
            finally:
                await connection.close()
