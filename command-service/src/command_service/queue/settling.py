"""Ending commands that nothing was decided of: what is no command at all, and what a fault of ours stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import insert, null, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from command_service.envelope import Outcome
from command_service.event_store.locks import command_lock, lock_key
from command_service.event_store.schema import outbox, receipts
from command_service.outbox.wake_up import CHANNEL, ENDED_CHANNEL

_LOCK: Final = text("SELECT pg_advisory_xact_lock(:a, :b)")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ends as `outcome` says.

    `message` is kept with it when it failed, to be redriven; `refused` is the document when it is no command at all.
    """

    command_id: str
    fingerprint: bytes
    type: str
    submitted_at: datetime
    outcome: Outcome
    message: str | None = None
    refused: Any = None


class Settling:
    """Writes receipts one by one, under the command's lock, as the executor does for many."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def end(self, command: Ended) -> bool:
        """Writes how the command ended, unless it has ended meanwhile; False if its id is another command's."""
        async with self._engine.begin() as connection:
            await _lock(connection, command.command_id)
            row = (
                await connection.execute(
                    select(receipts.c.status, receipts.c.fingerprint, receipts.c.message).where(
                        receipts.c.command_id == command.command_id
                    )
                )
            ).first()
            values: dict[str, Any] = {
                "status": command.outcome.status,
                "outcome": orjson.loads(command.outcome.to_json()),
                "completed_at": text("now()"),
                "message": command.message,
            }
            if row is None:
                await connection.execute(
                    insert(receipts).values(
                        command_id=command.command_id,
                        fingerprint=command.fingerprint,
                        type=command.type,
                        submitted_at=command.submitted_at,
                        **values,
                    )
                )
            elif row.status == "accepted":
                if not _is_the_accepted(command, row.fingerprint, row.message):
                    return False
                await connection.execute(
                    update(receipts).where(receipts.c.command_id == command.command_id).values(**values)
                )
            elif row.fingerprint != command.fingerprint:
                return False
        await self._tell(ENDED_CHANNEL)
        return True

    async def redrive(
        self, command_ids: Sequence[str], lane_of: Callable[[str], int], statuses: Sequence[str] = ("failed",)
    ) -> list[str]:
        """Queues those of the commands again that have one of the statuses; returns them.

        What failed is kept to be redriven. What is only accepted may be in the queue still: then it comes twice, and
        happens once.
        """
        redriven = []
        for command_id in command_ids:
            async with self._engine.begin() as connection:
                await _lock(connection, command_id)
                message = (
                    await connection.execute(
                        update(receipts)
                        .where(receipts.c.command_id == command_id, receipts.c.status.in_(statuses))
                        # SQL's null: None would be written as that of JSON, which is an outcome.
                        .values(status="accepted", outcome=null(), completed_at=None)
                        .returning(receipts.c.message)
                    )
                ).scalar()
                if message is None:
                    continue
                lane = lane_of(message)
                await connection.execute(insert(outbox).values(partition=lane, message=message))
                redriven.append(command_id)
        if redriven:
            await self._tell(CHANNEL)
        return redriven

    async def _tell(self, channel: str) -> None:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(f"NOTIFY {channel}"))


def _is_the_accepted(command: Ended, fingerprint: bytes, message: str | None) -> bool:
    """Whether it is what was accepted under this id, and not something else that bears the same one.

    What was accepted may be no command to a newer version of us; then it is the message itself that was refused.
    """
    if command.refused is None:
        return command.fingerprint == fingerprint
    return message is not None and bool(orjson.loads(message) == command.refused)


async def _lock(connection: AsyncConnection, command_id: str) -> None:
    first, second = lock_key(command_lock(command_id))
    await connection.execute(_LOCK, {"a": first, "b": second})
