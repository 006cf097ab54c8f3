"""What runs beside the relay, now and then: measuring the outbox, and forgetting receipts that are old enough."""

import asyncio
from typing import Final

from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.logging import get_logger
from command_service.event_store.store import is_fault
from command_service.outbox import metrics
from command_service.outbox.lanes import lanes

log = get_logger(__name__)

MEASURE_SECONDS: Final = 5.0
FORGET_SECONDS: Final = 3600.0
FORGET_AT_ONCE: Final = 10_000
FORGOTTEN: Final = Counter("stockroom_receipts_forgotten", "Receipts deleted because of their age.")

_DEPTH: Final = text("SELECT count(*) FROM outbox")
_OLDEST: Final = text("""
SELECT COALESCE(extract(epoch FROM now() - min(
           COALESCE(first.message::json ->> 'recordedtime', first.message::json ->> 'submitted_at')::timestamptz)), 0)
  FROM unnest(CAST(:lanes AS smallint[])) AS p(partition)
 CROSS JOIN LATERAL (
       SELECT message FROM outbox WHERE partition = p.partition ORDER BY seq LIMIT 1) first
""")
_UNFINISHED: Final = text("""
SELECT 'accepted', count(*), COALESCE(extract(epoch FROM now() - min(submitted_at)), 0)
  FROM receipts WHERE status = 'accepted'
UNION ALL
SELECT 'failed', count(*), COALESCE(extract(epoch FROM now() - min(submitted_at)), 0)
  FROM receipts WHERE status = 'failed'
""")
_FORGET: Final = text("""
DELETE FROM receipts WHERE command_id IN (
    SELECT command_id FROM receipts
     WHERE completed_at < now() - make_interval(days => :days) AND status <> 'failed' LIMIT :most)
""")


class Housekeeping:
    """Run `run` in one process or in several; it takes no locks that anyone waits for."""

    def __init__(self, engine: AsyncEngine, partitions: int, receipt_days: int) -> None:
        self._engine = engine
        self._partitions = partitions
        self._receipt_days = receipt_days

    async def run(self) -> None:
        """Measures every 5 seconds and forgets every hour, until cancelled."""
        loop = asyncio.get_running_loop()
        next_forget = loop.time()
        while True:
            try:
                await self.measure()
                if loop.time() >= next_forget:
                    next_forget = loop.time() + FORGET_SECONDS
                    await self.forget()
            except Exception as error:
                if not (is_fault(error) or isinstance(error, SQLAlchemyError)):
                    raise
                log.warning("housekeeping_interrupted", error=type(error).__name__)
            await asyncio.sleep(MEASURE_SECONDS)

    async def measure(self) -> None:
        async with self._engine.connect() as connection:
            depth = (await connection.execute(_DEPTH)).scalar_one()
            oldest = (await connection.execute(_OLDEST, {"lanes": lanes(self._partitions)})).scalar_one()
            unfinished = (await connection.execute(_UNFINISHED)).all()
        metrics.DEPTH.set(depth)
        metrics.OLDEST_SECONDS.set(float(oldest))
        for status, count, seconds in unfinished:
            metrics.UNFINISHED.labels(status).set(count)
            metrics.UNFINISHED_SECONDS.labels(status).set(float(seconds))

    async def forget(self) -> int:
        """Deletes receipts older than the setting, 10,000 at a time, but never a failed command's; returns how many."""
        forgotten = 0
        while True:
            async with self._engine.begin() as connection:
                result = await connection.execute(_FORGET, {"days": self._receipt_days, "most": FORGET_AT_ONCE})
            forgotten += result.rowcount
            FORGOTTEN.inc(result.rowcount)
            if result.rowcount < FORGET_AT_ONCE:
                return forgotten
