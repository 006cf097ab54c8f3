"""What an operator does with queued commands that have not ended well."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.queue.receipts import Receipt, Receipts
from command_service.queue.settling import Settling

STATUSES: Final = ("accepted", "succeeded", "rejected", "failed")


async def show(engine: AsyncEngine, status: str, limit: int) -> int:
    """Prints the oldest commands of a status; returns the exit code."""
    console = Console()
    if status not in STATUSES:
        console.print(f"There is no status {status!r}; there are {', '.join(STATUSES)}.", markup=False)
        return 2
    found = await Receipts(engine).listed(status, limit)
    table = Table(Column("id", min_width=36, overflow="fold"), "type", "submitted", "ended", "problem")
    for receipt in found:
        table.add_row(*map(Text, _row(receipt)))
    console.print(table)
    console.print(f"{len(found)} {status} command(s){' or more' if len(found) == limit else ''}.")
    return 0


def _row(receipt: Receipt) -> Sequence[str]:
    problem = (receipt.outcome.problem if receipt.outcome else None) or {}
    ended = receipt.completed_at.isoformat(timespec="seconds") if receipt.completed_at else ""
    submitted = receipt.submitted_at.isoformat(timespec="seconds")
    return receipt.command_id, receipt.type, submitted, ended, str(problem.get("detail", ""))


async def redrive(
    engine: AsyncEngine, ids: Sequence[str] | None, lane_of: Callable[[str], int], status: str = "failed"
) -> int:
    """Queues commands of a status again, the oldest first; only those with `ids`, if any. Returns the exit code."""
    console = Console()
    wanted = await Receipts(engine).ids(status) if ids is None else ids
    redriven = await Settling(engine).redrive(wanted, lane_of, (status,))
    missing = [] if ids is None else [one for one in ids if one not in redriven]
    for one in missing:
        console.print(f"{one}: no {status} command has this id.", markup=False, highlight=False)
    console.print(f"{len(redriven)} command(s) queued again.")
    return 1 if missing else 0
