"""The relay goes on by itself when either server comes back."""

import asyncio

import asyncpg

from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.outbox.housekeeping import Housekeeping
from command_service.settings import CommandSettings
from command_service.tasks import Tasks
from stockroom_local.pytest_plugin import OwnServers

from .relay_support import assert_in_order, numbers, put, relaying, subscriber
from .support import PARTITIONS, until


async def test_the_relay_goes_on_by_itself_after_a_restart_of_either_server(own_servers: OwnServers) -> None:
    servers = own_servers()
    settings = CommandSettings(postgres_url=servers.postgres.url)
    engine = make_engine(settings)
    await migrate(engine)

    async def write(count: int, first: int) -> None:
        connection = await asyncpg.connect(servers.postgres.url)
        await put(connection, count, first=first)
        await connection.close()

    async def relay_lost_it() -> bool:
        return not relay.connected

    async def relay_is_back() -> bool:
        return relay.connected

    housekeeping = Housekeeping(engine, PARTITIONS, 30)
    async with Tasks(housekeeping.run), relaying(servers.postgres.url, servers.rabbitmq.url) as relay:
        async with subscriber(servers.rabbitmq.url) as inbox:
            await inbox.bind()
            await write(100, 0)
            before = await inbox.until(lambda all_: len(set(numbers(all_))) == 100)
            await asyncio.to_thread(servers.postgres.stop)
            await until(relay_lost_it)
            await asyncio.to_thread(servers.postgres.start)
            await write(100, 100)
            before = await inbox.until(lambda all_: len(set(numbers(all_))) == 200)
        await asyncio.to_thread(servers.rabbitmq.stop)
        await until(relay_lost_it)
        await write(100, 200)
        await asyncio.to_thread(servers.rabbitmq.start)
        await until(relay_is_back)
        async with subscriber(servers.rabbitmq.url) as inbox:
            await inbox.bind()
            after = await inbox.until(lambda all_: set(numbers(all_)) >= set(range(200, 300)))
    await engine.dispose()
    assert_in_order([*before, *after], 300)
