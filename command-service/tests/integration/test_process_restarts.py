"""The process managers go on by themselves when either server comes back."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.settings import CommandSettings
from contracts.streams import order_stream
from stockroom_local.pytest_plugin import OwnServers

from .process_support import DEADLINES, Instance, Setting, cases, consuming, order_of, stocked, types_of, until_version
from .relay_support import relaying
from .support import launcher, until


async def test_deadlines_are_kept_over_a_restart_of_either_server(own_servers: OwnServers) -> None:
    servers = own_servers()
    settings = CommandSettings(postgres_url=servers.postgres.url)
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()

    async def expired(order_id: str) -> None:
        sql = await asyncpg.connect(servers.postgres.url)
        await until_version(sql, DEADLINES, order_stream(order_id), 2)
        assert await types_of(sql, order_stream(order_id)) == ["OrderPlaced", "OrderExpired"]
        await sql.close()

    async with AsyncExitStack() as stack:
        launch = launcher(settings, stack)
        setting = Setting(settings, launch, servers.rabbitmq.url)
        shop = await launch(cases(payment_seconds=1))
        await stack.enter_async_context(relaying(servers.postgres.url, servers.rabbitmq.url))
        instance = await stack.enter_async_context(setting.instance())
        await consuming(instance)
        tea = await stocked(shop, 100)
        waiting = await order_of(shop, tea)
        await asyncio.to_thread(servers.postgres.stop)
        await asyncio.to_thread(servers.postgres.start)
        await expired(waiting)
        await expired(await order_of(shop, tea))

        await asyncio.to_thread(servers.rabbitmq.stop)
        await until(lambda: _nothing_is_consumed(instance))
        meanwhile = await order_of(shop, tea)
        await asyncio.to_thread(servers.rabbitmq.start)
        await consuming(instance)
        await expired(meanwhile)
        await expired(await order_of(shop, tea))


async def _nothing_is_consumed(instance: Instance) -> bool:
    return not any(process.consumer.consumed for process in instance.processes.all)
