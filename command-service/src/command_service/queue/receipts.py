"""Receipts of commands: reading them, and writing those of commands that no decision was made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.envelope import Outcome
from command_service.event_store.schema import receipts

_COLUMNS = (
    receipts.c.command_id,
    receipts.c.type,
    receipts.c.status,
    receipts.c.outcome,
    receipts.c.submitted_at,
    receipts.c.completed_at,
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of a command. `outcome` is None as long as it is only accepted."""

    command_id: str
    type: str
    status: str
    outcome: Outcome | None
    submitted_at: datetime
    completed_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.status != "accepted"


class Receipts:
    """Reads receipts, each time in one short statement."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, command_ids: Iterable[str], *, ended: bool = False) -> dict[str, Receipt]:
        """Those of the commands that are known; with `ended`, only those that have ended."""
        query = select(*_COLUMNS).where(receipts.c.command_id.in_(list(command_ids)))
        if ended:
            query = query.where(receipts.c.status != "accepted")
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return {row.command_id: _receipt(row) for row in rows}

    async def listed(self, status: str, limit: int) -> Sequence[Receipt]:
        """The oldest commands of a status."""
        query = (
            select(*_COLUMNS)
            .where(receipts.c.status == status)
            .order_by(receipts.c.submitted_at, receipts.c.command_id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [_receipt(row) for row in (await connection.execute(query)).all()]

    async def ids(self, status: str) -> Sequence[str]:
        """The ids of all commands of a status, the oldest first."""
        query = (
            select(receipts.c.command_id)
            .where(receipts.c.status == status)
            .order_by(receipts.c.submitted_at, receipts.c.command_id)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalars().all()


def _receipt(row: Any) -> Receipt:
    outcome = None if row.outcome is None else Outcome(**row.outcome)
    return Receipt(row.command_id, row.type, row.status, outcome, row.submitted_at, row.completed_at)
