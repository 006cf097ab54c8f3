"""Ending commands without a decision, and redriving those that failed: one end for each, whoever writes it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest

from command_service.bootstrap import lane_of_messages
from command_service.database import Shop, make_engine
from command_service.envelope import CommandEnvelope, Outcome
from command_service.outbox.lanes import command_lane
from command_service.outbox.wake_up import CHANNEL, ENDED_CHANNEL
from command_service.queue import operating
from command_service.queue.documents import message_of
from command_service.queue.receipts import Receipts
from command_service.queue.settling import Ended, Settling
from command_service.queue.waiting import Endings
from command_service.settings import CommandSettings
from command_service.tasks import Tasks
from contracts.topology import partition_of

from .order_support import acceptor, add, receipts, stock_of, stocked
from .support import DEADLINE, PARTITIONS, Launcher, until

LANE_OF = lane_of_messages(Shop(PARTITIONS, "EUR"))
PROBLEM = {"type": "/problems/internal-error", "title": "t", "status": 500, "detail": "It was tried 5 times."}


@pytest.fixture
async def settling(settings: CommandSettings, shop_url: str) -> AsyncIterator[Settling]:
    engine = make_engine(settings, pool_size=8)
    yield Settling(engine)
    await engine.dispose()


def failed(envelope: CommandEnvelope) -> Ended:
    return Ended(
        envelope.command_id,
        envelope.fingerprint,
        envelope.type,
        envelope.submitted_at,
        Outcome("failed", problem=PROBLEM),
        orjson.dumps(message_of(envelope)).decode(),
    )


def refused(command_id: str, document: Any) -> Ended:
    fingerprint = orjson.dumps(document)[:16].ljust(16)
    return Ended(command_id, fingerprint, "", datetime.now(UTC), Outcome("rejected", problem=PROBLEM), refused=document)


async def test_an_unknown_command_ends_with_a_receipt_of_its_own_and_again_it_is_the_same(
    settling: Settling, sql: asyncpg.Connection
) -> None:
    ended = failed(add("0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", 1, "key"))
    assert await settling.end(ended)
    assert await settling.end(ended)
    row = await sql.fetchrow("SELECT * FROM receipts")
    assert (row["status"], row["message"]) == ("failed", ended.message)
    assert orjson.loads(row["outcome"])["problem"] == PROBLEM
    assert row["completed_at"] is not None


async def test_of_what_has_ended_nothing_is_changed(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    command = add(tea, 1, "key")
    outcome = await client.executor.execute(command)
    assert await settling.end(failed(command))
    assert not await settling.end(failed(add(tea, 2, "key")))
    assert not await settling.end(refused("key", {"id": "key"}))
    assert await client.executor.execute(command) == outcome


async def test_what_was_accepted_is_not_ended_by_something_else_that_bears_its_id(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    command = add(tea, 1, "key")
    await acceptor(client).accept([command])
    assert not await settling.end(refused("key", {"id": "key", "type": "AddToInventory", "data": {}}))
    assert not await settling.end(failed(add(tea, 2, "key")))
    assert (await receipts(sql))["key"] == "accepted"
    assert (await client.executor.execute(command)).status == "succeeded"


async def test_what_was_accepted_and_is_no_command_any_more_ends(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    """A newer version of us may refuse what an older one accepted."""
    client = await launch()
    [tea] = await stocked(client)
    await acceptor(client).accept([add(tea, 1, "key")])
    message = await sql.fetchval("SELECT message FROM receipts WHERE command_id = 'key'")
    assert await settling.end(refused("key", orjson.loads(message)))
    assert (await receipts(sql))["key"] == "rejected"


async def test_setting_aside_and_executing_at_once_come_to_one_end(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    commands = [add(tea, 1, f"key-{n}") for n in range(20)]
    await acceptor(client).accept(commands[::2])
    await asyncio.gather(
        *(settling.end(failed(one)) for one in commands), *(client.executor.execute(one) for one in commands)
    )
    # Whichever came first: what has succeeded stays so, and what had failed was executed after all.
    known = await receipts(sql)
    assert {known[one.command_id] for one in commands} == {"succeeded"}
    assert await stock_of(sql, tea) == (30, 0)
    assert await sql.fetchval("SELECT count(*) FROM receipts WHERE message IS NOT NULL") == 0


async def test_what_failed_is_redriven_into_the_lane_of_its_target_with_all_that_it_was(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await sql.execute("DELETE FROM outbox")
    command = add(tea, 1, "failed")
    await settling.end(failed(command))
    await acceptor(client).accept([add(tea, 1, "accepted")])
    await client.executor.execute(add(tea, 1, "succeeded"))
    await sql.execute("DELETE FROM outbox")
    assert await settling.redrive(["accepted", "failed", "succeeded", "unknown", "failed"], LANE_OF) == ["failed"]
    [row] = await sql.fetch("SELECT partition, message FROM outbox")
    assert row["partition"] == command_lane(partition_of(tea, PARTITIONS))
    assert orjson.loads(row["message"]) == message_of(command)
    row = await sql.fetchrow("SELECT * FROM receipts WHERE command_id = 'failed'")
    assert (row["status"], row["outcome"], row["completed_at"]) == ("accepted", None, None)
    assert (await client.executor.execute(command)).status == "succeeded"


async def test_what_was_accepted_and_lost_by_the_broker_is_queued_again_and_happens_once(
    settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    command = add(tea, 1, "accepted")
    await acceptor(client).accept([command])
    await sql.execute("DELETE FROM outbox")
    assert await settling.redrive(["accepted"], LANE_OF, ("accepted",)) == ["accepted"]
    [row] = await sql.fetch("SELECT message FROM outbox")
    assert orjson.loads(row["message"]) == message_of(command)
    first = await client.executor.execute(command)
    assert await client.executor.execute(command) == first
    assert await settling.redrive(["accepted"], LANE_OF, ("accepted",)) == []


async def test_what_was_redriven_may_fail_again_and_be_redriven_again(settling: Settling) -> None:
    command = add("0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", 1, "failed")
    await settling.end(failed(command))
    assert await settling.redrive(["failed"], LANE_OF) == ["failed"]
    assert await settling.end(failed(command))
    assert await settling.redrive(["failed"], LANE_OF) == ["failed"]


async def test_two_operators_at_once_redrive_each_command_once(settling: Settling, sql: asyncpg.Connection) -> None:
    commands = [add("0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", 1, f"key-{n}") for n in range(10)]
    for one in commands:
        await settling.end(failed(one))
    ids = [one.command_id for one in commands]
    both = await asyncio.gather(settling.redrive(ids, LANE_OF), settling.redrive(ids[::-1], LANE_OF))
    assert sorted(both[0] + both[1]) == sorted(ids)
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 10


async def test_the_operators_commands_say_what_they_did(
    settings: CommandSettings, settling: Settling, sql: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    product_id = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
    for n in range(3):
        at = datetime(2026, 1, 3 - n, tzinfo=UTC)
        await settling.end(replace(failed(add(product_id, 1, f"[key]-{n}")), submitted_at=at))
    engine = make_engine(settings)
    try:
        assert await operating.show(engine, "failed", 2) == 0
        shown = capsys.readouterr().out
        assert shown.index("[key]-2") < shown.index("[key]-1")
        assert "[key]-0" not in shown
        assert await operating.show(engine, "lost", 2) == 2
        assert await operating.redrive(engine, ["[key]-1", "unknown"], LANE_OF) == 1
        assert "unknown: no failed command" in capsys.readouterr().out
        assert await operating.redrive(engine, None, LANE_OF) == 0
        assert "2 command(s)" in capsys.readouterr().out
        assert await operating.redrive(engine, None, LANE_OF) == 0
    finally:
        await engine.dispose()
    rows = await sql.fetch("SELECT message FROM outbox ORDER BY seq")
    assert [orjson.loads(row["message"])["id"] for row in rows] == ["[key]-1", "[key]-2", "[key]-0"]


async def test_the_relay_and_those_who_wait_are_told(settling: Settling, sql: asyncpg.Connection) -> None:
    told: list[str] = []
    for channel in (CHANNEL, ENDED_CHANNEL):
        await sql.add_listener(channel, lambda _connection, _pid, name, _payload: told.append(name))
    await settling.end(failed(add("0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", 1, "key")))
    await settling.redrive(["key"], LANE_OF)

    async def both() -> bool:
        await sql.fetchval("SELECT 1")
        return set(told) == {CHANNEL, ENDED_CHANNEL}

    await until(both)


async def test_who_waits_is_told_of_an_end_wherever_it_was_written_and_over_a_lost_connection(
    settings: CommandSettings, settling: Settling, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    commands = [add(tea, 1, f"key-{n}") for n in range(4)]
    await acceptor(client).accept(commands)
    engine = make_engine(settings)
    endings = Endings(Receipts(engine), settings.postgres_url)
    keys = [one.command_id for one in commands]
    listening = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stockroom-endings'"

    async def connected() -> bool:
        return bool(await sql.fetchval(listening))

    async with Tasks(endings.run), asyncio.timeout(DEADLINE):
        waiting = [
            asyncio.create_task(endings.wait(wanted, DEADLINE)) for wanted in (keys[:1], keys[:2], keys[1:], keys)
        ]
        await until(connected)
        await client.executor.execute(commands[0])
        await waiting[0]
        assert not any(task.done() for task in waiting[1:])
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stockroom-endings'"
        )
        await settling.end(failed(commands[1]))
        await waiting[1]
        await asyncio.gather(*(client.executor.execute(one) for one in commands[2:]))
        await asyncio.gather(*waiting)
        # Nobody waits for what has ended, nor for ever for what has not.
        await endings.wait(keys, DEADLINE)
        await endings.wait(["unknown"], 0.01)
    assert endings._awaited == {}
    await engine.dispose()
