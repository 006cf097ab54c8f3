"""Queued commands while a server is away: none is lost, none is overtaken, and all go on by themselves."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.queue import executing
from command_service.settings import CommandSettings
from stockroom_local.pytest_plugin import OwnServers

from .order_support import acceptor, add, body, receipts, stock_of, stocked
from .relay_support import relaying
from .support import launcher, until
from .worker_support import broker_of, consuming, until_ended, working


async def test_commands_outlast_the_broker_and_the_database_being_away(
    own_servers: OwnServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "LONGEST_PAUSE", 0.2)
    servers = own_servers()
    url = servers.rabbitmq.url
    settings = CommandSettings(postgres_url=servers.postgres.url)
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()
    async with AsyncExitStack() as stack:
        launch = launcher(settings, stack)
        # The worker's executor gives up soon, as a real one does: what it refuses must be sent again, in order.
        accepting, executing_ = await launch(), await launch(retry_seconds=0.1)
        [tea] = await stocked(accepting)
        await stack.enter_async_context(relaying(servers.postgres.url, url))
        worker = await stack.enter_async_context(working(settings, executing_, url))
        await consuming(worker)
        async with broker_of(url) as broker:
            # So that the worker's own connection for publishing is there, to be lost.
            await broker.publish(b"no command", body(add(tea, 1, "by-in-0")))
            await broker.dead_letters(1)

        await asyncio.to_thread(servers.rabbitmq.stop)
        away = [add(tea, 1, f"broker-away-{n:03}") for n in range(150)]
        await acceptor(accepting).accept(away[:100])
        await acceptor(accepting).accept(away[100:])
        sql = await asyncpg.connect(servers.postgres.url)
        assert list((await receipts(sql)).values()).count("accepted") == 150
        await asyncio.to_thread(servers.rabbitmq.start)
        await until_ended(sql, [one.command_id for one in away])
        await consuming(worker)
        async with broker_of(url) as broker:
            await broker.publish(b"none either", body(add(tea, 1, "by-in-1")))
            await broker.dead_letters(1)
            await until_ended(sql, ["by-in-0", "by-in-1"])
            await sql.close()

            await asyncio.to_thread(servers.postgres.stop)
            later = [add(tea, 1, f"postgres-away-{n:03}") for n in range(150)]
            await broker.publish(*(body(*later[start : start + 10]) for start in range(0, 150, 10)))

            async def all_are_in_hand() -> bool:
                return await broker.waiting("stockroom.commands.in") == 0

            await until(all_are_in_hand)
            while_away = list(worker.executed)
            await asyncio.to_thread(servers.postgres.start)
            sql = await asyncpg.connect(servers.postgres.url)
            assert not {one.command_id for one in later} & set(while_away)
            await until_ended(sql, [one.command_id for one in later])
        rows = await sql.fetch(
            "SELECT metadata ->> 'command_id' AS id FROM events WHERE type = 'StockAdded' ORDER BY version"
        )
        ids = [row["id"] for row in rows if "away" in row["id"]]
        assert ids == [one.command_id for one in (*away, *later)]
        assert await stock_of(sql, tea) == (312, 0)
        await sql.close()
        assert not worker.task.done()
