"""The log's promises, as the database itself keeps them, and the schema's."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest
from sqlalchemy import text

from command_service.database import NotMigrated, SettingRefused, make_engine, open_shop
from command_service.event_store.feed import Feed
from command_service.executor.executor import MAX_LOCKS
from command_service.executor.jobs import Execution
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.migrations import REVISION, migrate
from command_service.read_models.store import Generations
from command_service.settings import CommandSettings
from contracts.topology import partition_of

from .support import PARTITIONS, Launcher, envelope, launcher, product


async def schema(settings: CommandSettings) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(settings.postgres_url)
    columns = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "ORDER BY table_name, ordinal_position"
    )
    await connection.close()
    return [tuple(row) for row in columns]


async def test_migrating_again_changes_nothing(settings: CommandSettings, launch: Launcher) -> None:
    client = await launch()
    await client.succeed(product())
    before = await schema(settings)
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()
    assert await schema(settings) == before
    await client.succeed(product())


async def test_a_shop_with_a_past_is_upgraded_and_goes_on(settings: CommandSettings) -> None:
    engine = make_engine(settings)
    item = product(initial_stock=3)
    partition = partition_of(item.product_id, PARTITIONS)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        await migrate(engine, "0002")
        client = await launcher(settings, stack)()
        await client.succeed(item)
        before = (await Feed(engine).page(0, 10)).events
        await migrate(engine)
        assert await Feed(engine).of_partition(partition, None, 10) == sorted(before, key=lambda e: e.stream_id)
        [first] = await Generations(engine).all()
        assert (first.number, first.status) == (1, "live")
        await client.succeed(AddToInventory(product_id=item.product_id, quantity=1))
        assert len(await Feed(engine).of_partition(partition, None, 10)) == len(before) + 1


async def test_several_may_migrate_an_empty_database_at_once(settings: CommandSettings) -> None:
    engines = [make_engine(settings) for _ in range(4)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    for engine in engines:
        await engine.dispose()
    assert ("events", "position", "bigint") in await schema(settings)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "UPDATE events SET version = 9 WHERE false",
        "DELETE FROM events",
        "TRUNCATE events",
    ],
)
async def test_what_has_happened_can_not_be_changed(launch: Launcher, sql: asyncpg.Connection, statement: str) -> None:
    client = await launch()
    await client.succeed(product())
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await sql.execute(statement)
    assert await sql.fetchval("SELECT count(*) FROM events") == 2


async def test_a_version_of_a_stream_can_be_written_once(launch: Launcher, sql: asyncpg.Connection) -> None:
    client = await launch()
    await client.succeed(product())
    copy = """INSERT INTO events SELECT position + 1000, stream_id, version + $1, partition_key, partition, type,
              schema_version, data, metadata, recorded_at FROM events"""
    with pytest.raises(asyncpg.UniqueViolationError):
        await sql.execute(copy, 0)
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(copy, -1)


async def test_what_a_shop_was_started_with_is_kept_and_a_setting_that_differs_is_refused(
    settings: CommandSettings, shop_url: str
) -> None:
    engine = make_engine(settings)
    first = await asyncio.gather(
        *(open_shop(engine, settings.model_copy(update={"partitions": 5, "currency": "CHF"})) for _ in range(3))
    )
    assert {(shop.partitions, shop.currency) for shop in first} == {(5, "CHF")}
    assert await open_shop(engine, settings) == first[0]
    for other in ({"partitions": 8}, {"currency": "EUR"}):
        with pytest.raises(SettingRefused):
            await open_shop(engine, settings.model_copy(update=other))
    await engine.dispose()


async def test_an_unmigrated_database_is_an_error_and_no_empty_shop(settings: CommandSettings) -> None:
    engine = make_engine(settings)
    with pytest.raises(NotMigrated, match="command-service migrate"):
        await open_shop(engine, settings)
    await engine.dispose()


async def test_an_older_schema_is_refused_and_a_newer_one_is_not(settings: CommandSettings) -> None:
    engine = make_engine(settings)
    await migrate(engine, "0002")
    with pytest.raises(NotMigrated, match=f"at revision 0002, and this version needs {REVISION}"):
        await open_shop(engine, settings)
    await migrate(engine)
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == REVISION
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert (await open_shop(engine, settings)).partitions == 8
    await migrate(engine)
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == "9999"
    await engine.dispose()


async def test_every_form_of_the_url_leads_to_the_database(settings: CommandSettings, shop_url: str) -> None:
    for url in (shop_url.replace("postgresql://", "postgres://"), f"{shop_url}?sslmode=prefer"):
        engine = make_engine(settings.model_copy(update={"postgres_url": url}))
        assert (await open_shop(engine, settings)).partitions == 8
        await engine.dispose()


async def test_a_stream_is_read_in_pages_and_an_unknown_one_is_none(
    settings: CommandSettings, launch: Launcher
) -> None:
    client = await launch()
    item = product()
    await client.succeed(item, *(AddToInventory(product_id=item.product_id, quantity=n) for n in range(1, 6)))
    engine = make_engine(settings)
    feed = Feed(engine)
    stream = f"inventory-{item.product_id}"
    pages = [await feed.stream(stream, after, 4) for after in (0, 4, 6)]
    assert [[event.version for event in page or ()] for page in pages] == [[1, 2, 3, 4], [5, 6], []]
    assert pages[2] == []
    assert await feed.stream("inventory-nothing", 0, 4) is None
    await engine.dispose()


async def test_a_batch_keeps_within_the_locks_that_postgres_has(launch: Launcher) -> None:
    client = await launch()
    executor = client.executor
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        one = envelope(product(sku="x"))
        executor._waiting.append(Execution.of(one, executor._use_cases[type(one.command)], loop.create_future()))
    batch = executor._next_batch()
    executor._waiting.clear()
    assert sum(job.lock_count() for job in batch) <= MAX_LOCKS
