"""A Postgres that was restored from a backup, now behind its queues: recognised, refused, and made one with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from command_service.database import ServerUnreachable, make_engine
from command_service.event_store.feed import Feed
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.processes.known_events import EventNotInTheLog
from command_service.processes.operating import after_restore
from command_service.settings import CommandSettings
from contracts.envelope import RecordedEvent
from contracts.streams import inventory_stream, stock_alert_stream
from contracts.topology import EventQueue, partition_of

from .process_support import (
    ALERTS,
    Instance,
    Setting,
    cases,
    consuming,
    events_of,
    publishing,
    stocked,
    types_of,
    until_version,
    version_of,
)
from .support import PARTITIONS, Client, Launcher, until

NEVER = 1000.0


@pytest.fixture
def setting(settings: CommandSettings, launch: Launcher, rabbitmq_url: str) -> Setting:
    return Setting(settings, launch, rabbitmq_url, {"walk_seconds": NEVER})


async def sold_out(setting: Setting, client: Client) -> list[RecordedEvent]:
    """The events of a new product's inventory: opened with 7 pieces, and all of them shipped."""
    product_id = await stocked(client, 7)
    await client.succeed(ConfirmItemsShipped(product_id=product_id, quantity=7))
    return await events_of(setting, inventory_stream(product_id))


def not_in_the_log() -> float:
    return REGISTRY.get_sample_value("stockroom_process_events_not_in_the_log", {"manager": ALERTS}) or 0.0


async def until_refused(instance: Instance, event: RecordedEvent) -> None:
    async def is_refused() -> bool:
        try:
            await instance.processes.check_log()
        except EventNotInTheLog as refusal:
            return str(refusal) == event.id
        return False

    await until(is_refused)


async def messages(setting: Setting, manager: str, event: RecordedEvent) -> int:
    """How many the manager's queue holds for whoever comes next."""
    async with await aio_pika.connect(setting.rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = EventQueue(manager, partition_of(event.partition_key, PARTITIONS))
        declared = await channel.declare_queue(queue.name, passive=True)
        return declared.declaration_result.message_count or 0


def lost(event: RecordedEvent, kind: str) -> RecordedEvent:
    """The next event of a stream, as a log that was lost had it, by what stands in its place now."""
    match kind:
        case "nothing":
            return event._replace(version=event.version + 1, position=event.position + 50)
        case "another version":
            return event._replace(version=event.version + 1)
        case _:
            return event._replace(version=event.version + 1, position=1)


@pytest.mark.parametrize("in_its_place", ["nothing", "another version", "another stream"])
async def test_an_event_that_the_log_has_lost_is_held_with_all_of_its_batch_and_told(
    setting: Setting, sql: asyncpg.Connection, in_its_place: str
) -> None:
    shop = await setting.launch(cases())
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        opened, shipped = await sold_out(setting, shop)
        unknown = lost(shipped, in_its_place)
        with capture_logs() as logs:
            await publish([opened, shipped, unknown])
            await until_refused(instance, unknown)

            async def is_held() -> bool:
                return sum(one["event"] == "messages_held" for one in logs) >= 3

            await until(is_held)
        assert not_in_the_log() == 1
        [told] = [one for one in logs if one["log_level"] == "critical"]
        assert (told["event_id"], "RUNBOOKS.md" in told["runbook"]) == (unknown.id, True)
        assert await version_of(sql, ALERTS, opened.stream_id) == 0
        assert not instance.task.done()

    async def is_kept() -> bool:
        return await messages(setting, ALERTS, unknown) == 1

    await until(is_kept)
    assert instance.sent == []
    assert await version_of(sql, ALERTS, opened.stream_id) == 0


async def test_what_was_lost_is_not_hidden_by_what_has_taken_a_later_position(
    setting: Setting, sql: asyncpg.Connection
) -> None:
    """Behind the lost event in the queue stands one that the restored log has written since."""
    shop = await setting.launch(cases())
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        opened, shipped = await sold_out(setting, shop)
        unknown = lost(opened, "another version")
        await publish([unknown, shipped])
        await until_refused(instance, unknown)
        assert await version_of(sql, ALERTS, opened.stream_id) == 0


async def test_it_goes_on_once_the_log_has_the_event(setting: Setting, sql: asyncpg.Connection) -> None:
    """Such as one that was restored once more, up to its end."""
    shop = await setting.launch(cases())
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        opened, shipped = await sold_out(setting, shop)
        unknown = lost(shipped, "nothing")
        async with sql.transaction():
            await sql.execute(
                """INSERT INTO events SELECT $1, stream_id, $2, partition_key, partition, type, schema_version, data,
                   metadata, recorded_at FROM events WHERE position = $3""",
                unknown.position,
                unknown.version,
                shipped.position,
            )
            await publish([opened, shipped, unknown])
            await until_refused(instance, unknown)
        await until_version(sql, ALERTS, opened.stream_id, unknown.version)
        await instance.processes.check_log()
        assert not_in_the_log() == 0


@asynccontextmanager
async def lost_queues(setting: Setting, client: Client) -> AsyncIterator[RecordedEvent]:
    """All queues of the managers, and in one of them an event of a lost future; nobody consumes."""
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        _, shipped = await sold_out(setting, client)
        unknown = lost(shipped, "nothing")
        await publish([unknown])
        await until_refused(instance, unknown)
    yield unknown


async def run_after_restore(setting: Setting) -> int:
    engine = make_engine(setting.settings)
    try:
        return await after_restore(engine, PARTITIONS, setting.rabbitmq_url)
    finally:
        await engine.dispose()


async def drawn(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT last_value FROM events_position_seq"))


async def test_after_restore_the_managers_go_on_from_the_log(
    setting: Setting, sql: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = await setting.launch(cases())
    async with lost_queues(setting, shop) as unknown:
        before = await drawn(sql)
        assert await run_after_restore(setting) == 0
    said = capsys.readouterr().out
    name = EventQueue(ALERTS, partition_of(unknown.partition_key, PARTITIONS)).name
    assert f"{name}: deleted, with 1 message(s)." in said
    assert "16 queue(s)" in said
    assert f"go on from {before + 1_000_000}; they stood at {before}." in said
    # The stream goes on at the very version that the lost event had.
    await shop.succeed(AddToInventory(product_id=unknown.partition_key, quantity=7))
    async with setting.instance(walk_seconds=0.1) as instance:
        await until_version(sql, ALERTS, unknown.stream_id, unknown.version)
        await consuming(instance)
        await instance.processes.check_log()
    assert await sql.fetchval("SELECT max(position) FROM events") > before + 1_000_000
    assert await types_of(sql, stock_alert_stream(unknown.partition_key)) == ["StockRanLow", "StockRanOut"]


async def test_after_restore_may_be_run_again(
    setting: Setting, sql: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """And on a broker that has none of the queues."""
    shop = await setting.launch(cases())
    assert [await run_after_restore(setting) for _ in range(2)] == [0, 0]
    assert "0 queue(s)" in capsys.readouterr().out
    assert await drawn(sql) == 2_000_000
    await sold_out(setting, shop)
    engine = make_engine(setting.settings)
    assert (await Feed(engine).page(0, 10)).settled == 2_000_003
    await engine.dispose()


async def test_after_restore_refuses_while_a_manager_runs(
    setting: Setting, sql: asyncpg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    async with setting.instance() as instance:
        await consuming(instance)
        before = await drawn(sql)
        assert await run_after_restore(setting) == 1
        assert len(instance.processes.all[0].consumer.consumed) == PARTITIONS
    assert "Stop every process first" in capsys.readouterr().out
    assert await drawn(sql) == before


async def test_after_restore_does_nothing_without_the_broker(setting: Setting, sql: asyncpg.Connection) -> None:
    setting.rabbitmq_url = "amqp://127.0.0.1:1/"
    before = await drawn(sql)
    with pytest.raises(ServerUnreachable, match="STOCKROOM_RABBITMQ_URL"):
        await run_after_restore(setting)
    assert await drawn(sql) == before
