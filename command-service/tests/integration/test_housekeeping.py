"""Housekeeping measures the outbox, and forgets receipts that are old enough and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from command_service.database import make_engine
from command_service.outbox import housekeeping as housekeeping_module
from command_service.outbox import metrics
from command_service.outbox.housekeeping import Housekeeping
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

from .support import PARTITIONS, Launcher, product, until


@pytest.fixture
async def housekeeping(settings: CommandSettings, shop_url: str) -> AsyncIterator[Housekeeping]:
    engine = make_engine(settings)
    yield Housekeeping(engine, PARTITIONS, receipt_days=30)
    await engine.dispose()


async def test_old_receipts_are_forgotten_and_newer_ones_and_the_log_are_kept(
    housekeeping: Housekeeping, launch: Launcher, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "FORGET_AT_ONCE", 7)
    client = await launch()
    commands = [product() for _ in range(40)]
    for command in commands:
        await client.send(command, command.product_id)
    old = [command.product_id for command in commands[:25]]
    await sql.execute(
        "UPDATE receipts SET completed_at = now() - interval '30 days 1 minute' WHERE command_id = ANY($1)", old
    )
    await sql.execute(
        "UPDATE receipts SET completed_at = now() - interval '29 days 23 hours' WHERE NOT command_id = ANY($1)", old
    )
    assert await housekeeping.forget() == 25
    assert await housekeeping.forget() == 0
    kept = {row["command_id"] for row in await sql.fetch("SELECT command_id FROM receipts")}
    assert kept == {command.product_id for command in commands[25:]}
    assert await sql.fetchval("SELECT count(*) FROM events") == 80


async def test_the_outbox_is_measured_by_depth_and_by_its_oldest_event(
    housekeeping: Housekeeping, launch: Launcher, sql: asyncpg.Connection
) -> None:
    await housekeeping.measure()
    assert (metrics.DEPTH._value.get(), metrics.OLDEST_SECONDS._value.get()) == (0, 0)
    client = await launch()
    await client.succeed(*(product() for _ in range(10)))
    await sql.execute(
        """UPDATE outbox
              SET message = jsonb_set(message::jsonb, '{recordedtime}', '"2000-01-01T00:00:00.000000Z"')::text
            WHERE seq = (SELECT min(seq) FROM outbox)"""
    )
    await housekeeping.measure()
    assert metrics.DEPTH._value.get() == 20
    assert metrics.OLDEST_SECONDS._value.get() > 20 * 365 * 86_400


async def test_queued_commands_that_have_not_ended_well_are_counted_with_the_age_of_the_oldest(
    housekeeping: Housekeeping, sql: asyncpg.Connection
) -> None:
    def measured(status: str) -> tuple[float, float]:
        gauges = metrics.UNFINISHED, metrics.UNFINISHED_SECONDS
        count, seconds = (gauge.labels(status)._value.get() for gauge in gauges)
        return count, seconds

    await housekeeping.measure()
    assert measured("accepted") == measured("failed") == (0, 0)
    await sql.execute(
        """INSERT INTO receipts (command_id, fingerprint, type, status, submitted_at)
           SELECT status || n, '', 'ChangePrice', status, now() - n * interval '1 minute'
             FROM (VALUES ('accepted', 3), ('failed', 5), ('succeeded', 7)) AS s(status, most)
            CROSS JOIN LATERAL generate_series(1, most) AS n"""
    )
    await housekeeping.measure()
    assert measured("accepted") == (3, pytest.approx(180, abs=30))
    assert measured("failed") == (5, pytest.approx(300, abs=30))


async def test_a_lost_connection_does_not_end_it(
    housekeeping: Housekeeping, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_module, "MEASURE_SECONDS", 0.01)
    measured = 0

    async def measure() -> None:
        nonlocal measured
        measured += 1
        if measured == 2:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        if measured == 3:
            raise ConnectionRefusedError
        if measured == 4:
            raise asyncpg.InterfaceError("connection is closed")

    monkeypatch.setattr(housekeeping, "measure", measure)

    async def went_on() -> bool:
        return measured > 5

    async with Tasks(housekeeping.run):
        await until(went_on)
    await asyncio.sleep(0)
