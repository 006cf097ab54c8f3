"""What no queue brings, the walk does; and what can't be handled stops nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import PublishError

from chassis import broker
from command_service.database import make_engine
from command_service.envelope import CommandEnvelope, ExecutionFailed, Unavailable
from command_service.event_store.feed import Feed
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.mediator import Mediator
from command_service.orders.domain.expire_order import ExpireOrder
from command_service.processes import following, metrics, timers, walk
from command_service.processes.following import Following
from command_service.processes.known_events import EventNotInTheLog
from command_service.processes.rows import Row, Rows
from command_service.processes.sending import Sender
from command_service.processes.stock_alerts import stock_alerts
from command_service.processes.walk import Walk
from command_service.settings import CommandSettings
from contracts import events as event_contract
from contracts.streams import inventory_stream, order_stream, stock_alert_stream
from contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    EventQueue,
    further_routing,
    routing_key,
    routing_key_of_kind,
)

from .process_support import (
    ALERTS,
    DEADLINES,
    LOW_STOCK,
    Setting,
    cases,
    checkpoint,
    consuming,
    events_of,
    order_of,
    publishing,
    stocked,
    types_of,
    until_types,
    until_version,
    version_of,
)
from .relay_support import relaying
from .support import Launcher, until

EXPIRED = ["OrderPlaced", "OrderExpired"]


@pytest.fixture
def setting(settings: CommandSettings, launch: Launcher, rabbitmq_url: str) -> Setting:
    return Setting(settings, launch, rabbitmq_url)


async def last_position(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT max(position) FROM events"))


async def until_checkpoint(sql: asyncpg.Connection, manager: str, position: int) -> None:
    async def is_there() -> bool:
        return await checkpoint(sql, manager) >= position

    await until(is_there)


async def test_messages_that_were_never_published_are_brought_by_the_walk(
    setting: Setting, sql: asyncpg.Connection
) -> None:
    shop = await setting.launch(cases())
    async with setting.instance() as instance:
        await consuming(instance)
        order_id = await order_of(shop, await stocked(shop, 10))
        await sql.execute("DELETE FROM outbox")
        await until_types(sql, order_stream(order_id), EXPIRED)
        await until_checkpoint(sql, DEADLINES, await last_position(sql))
    assert await version_of(sql, DEADLINES, order_stream(order_id)) == 2


async def test_a_shop_that_is_older_than_its_managers_is_brought_page_by_page(
    setting: Setting, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "PAGE", 7)
    shop = await setting.launch(cases())
    tea = await stocked(shop, 1000)
    orders = [await order_of(shop, tea) for _ in range(50)]
    async with setting.instance(), setting.instance():
        for order_id in orders:
            await until_types(sql, order_stream(order_id), EXPIRED)
        for manager in (DEADLINES, ALERTS):
            await until_checkpoint(sql, manager, await last_position(sql))


async def test_while_servers_cannot_be_reached_nothing_is_lost(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    refusals = [Unavailable("gone")] * 6

    async def refuse_at_first(_envelope: CommandEnvelope) -> None:
        if refusals:
            raise refusals.pop()

    instance_of = setting.instance(refuse_at_first)
    async with relaying(setting.settings.postgres_url, setting.rabbitmq_url), instance_of as instance:
        await consuming(instance)
        tea = await stocked(shop, 10)
        await shop.succeed(ConfirmItemsShipped(product_id=tea, quantity=7))
        order_id = await order_of(shop, tea)
        await until_types(sql, order_stream(order_id), EXPIRED)
        await until_types(sql, stock_alert_stream(tea), ["StockRanLow"])
    assert refusals == []


async def test_a_timer_whose_command_fails_does_not_hold_up_the_others(
    setting: Setting, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "AT_ONCE", 1)
    shop = await setting.launch(cases())
    tea = await stocked(shop, 10)
    first, second = [await order_of(shop, tea) for _ in range(2)]

    async def fail_for_first(envelope: CommandEnvelope) -> None:
        if envelope.command == ExpireOrder(order_id=first):
            raise ExecutionFailed("ours")

    async with setting.instance(fail_for_first) as instance:
        await until_types(sql, order_stream(second), EXPIRED)
        assert not instance.task.done()
    due = "SELECT due_at > now() FROM process_streams WHERE stream_id = $1"
    assert await sql.fetchval(due, order_stream(first)) is True


async def test_a_manager_is_sent_what_it_follows_alone_also_where_an_earlier_version_had_everything_sent(
    setting: Setting,
) -> None:
    connection = await aio_pika.connect(setting.rabbitmq_url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await broker.declare_dead_letters(channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        exchange = await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE)
        for former in (EventQueue(name, 3) for name in (ALERTS, DEADLINES)):
            await (await broker.declare_queue(channel, former.name, former.arguments)).bind(exchange, routing_key(3))
        async with setting.instance() as instance:
            await consuming(instance)
            for kind in ("inventory", "order"):
                await exchange.publish(aio_pika.Message(b"[]"), routing_key_of_kind(3, kind), mandatory=True)
            for followed_by_none in (routing_key(3), routing_key_of_kind(3, "product")):
                with pytest.raises(PublishError):
                    await exchange.publish(aio_pika.Message(b"[]"), followed_by_none, mandatory=True)


async def test_a_message_that_is_no_event_is_kept_apart(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    async with setting.instance(walk_seconds=1000.0) as instance:
        await consuming(instance)
        tea = await stocked(shop, 10)
        events = await events_of(setting, inventory_stream(tea))
        connection = await aio_pika.connect(setting.rabbitmq_url)
        async with connection, publishing(setting.rabbitmq_url) as publish:
            channel = await connection.channel()
            exchange = await channel.get_exchange(EVENTS_EXCHANGE)
            partition = await sql.fetchval("SELECT partition FROM events WHERE stream_id = $1", inventory_stream(tea))
            message = aio_pika.Message(b"nonsense", headers=further_routing(partition, ["inventory", "order"]))
            await exchange.publish(message, routing_key(partition))
            await publish(events)
            await until_version(sql, ALERTS, inventory_stream(tea), 1)
            dead = await channel.get_queue(DEAD_LETTER_QUEUE)

            async def two_are_dead() -> bool:
                found = await channel.declare_queue(DEAD_LETTER_QUEUE, passive=True)
                return found.declaration_result.message_count == 2

            # One from the queue of each manager.
            await until(two_are_dead)
            assert [(await dead.get()).body for _ in range(2)] == [b"nonsense"] * 2


@asynccontextmanager
async def alerting(setting: Setting) -> AsyncIterator[tuple[Following[Any], Walk, Rows[Any]]]:
    """The stock alerts without any queue, to be moved by hand."""
    executor = (await setting.launch(cases())).executor
    engine = make_engine(setting.settings)
    manager, feed = stock_alerts(LOW_STOCK), Feed(engine)
    rows = Rows(engine, manager)
    follower = Following(manager, rows, feed, Sender(manager.name, Mediator([], executor.execute)))
    yield follower, Walk(manager, rows, feed, follower), rows
    await engine.dispose()


async def test_how_long_a_manager_is_behind_is_measured_until_it_has_handled_what_was_missing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured() -> tuple[float, float]:
        gauges = metrics.LAG_EVENTS, metrics.BEHIND_SECONDS
        positions, seconds = (gauge.labels(ALERTS)._value.get() for gauge in gauges)
        return positions, seconds

    async with alerting(setting) as (_, walker, _rows):
        await walker.once()
        assert measured() == (0, 0)
        await stocked(await setting.launch(cases()), 10)
        with monkeypatch.context() as patched:
            patched.setattr(walk, "_has_stopped", lambda *_: False)
            await walker.once()
            await walker.once()
            assert min(measured()) > 0
        await walker.once()
        assert measured() == (0, 0)


class Unparsable:
    """Makes the events of one type unreadable, as those of a newer writer are, until `known` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, event_type: str) -> None:
        self.known = False
        parse = event_contract.parse

        def parse_known(found: str, schema_version: int, data: dict[str, Any]) -> event_contract.Event:
            if found == event_type and not self.known:
                raise event_contract.UnreadableEvent("newer")
            return parse(found, schema_version, data)

        monkeypatch.setattr(event_contract, "parse", parse_known)


async def test_an_event_that_cannot_be_read_parks_its_stream_alone_until_it_can_be(
    setting: Setting, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FIRST_RETRY", 0.0)
    shop = await setting.launch(cases())
    newer = Unparsable(monkeypatch, "ItemsShipped")
    bad, good = await stocked(shop, 7), await stocked(shop, 7)
    await shop.succeed(ConfirmItemsShipped(product_id=bad, quantity=7))
    unreadable = await last_position(sql)
    await shop.succeed(AddToInventory(product_id=good, quantity=1))
    async with alerting(setting) as (_, first_walk, _rows):
        for _ in range(3):
            await first_walk.once()
        assert await version_of(sql, ALERTS, inventory_stream(bad)) == 1
        assert await version_of(sql, ALERTS, inventory_stream(good)) == 2
        assert await checkpoint(sql, ALERTS) == unreadable - 1
    async with alerting(setting) as (_, second_walk, _rows):
        for _ in range(3):
            await second_walk.once()
        newer.known = True
        await second_walk.once()
        assert await version_of(sql, ALERTS, inventory_stream(bad)) == 2
        assert await types_of(sql, stock_alert_stream(bad)) == ["StockRanLow", "StockRanOut"]
        assert await checkpoint(sql, ALERTS) > unreadable


async def test_what_may_still_be_in_the_queues_is_left_to_them(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    tea = await stocked(shop, 7)
    async with alerting(setting) as (follower, the_walk, rows):
        await the_walk.once()
        assert await version_of(sql, ALERTS, inventory_stream(tea)) == 0
        events = await events_of(setting, inventory_stream(tea))
        await follower.handle(events)
        await the_walk.once()
        assert await rows.checkpoint() == await last_position(sql)


async def test_an_event_that_the_log_does_not_have_changes_nothing(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    tea = await stocked(shop, 7)
    async with alerting(setting) as (follower, _, _rows):
        [opened] = await events_of(setting, inventory_stream(tea))
        with pytest.raises(EventNotInTheLog):
            await follower.handle([opened._replace(version=9)])
    assert await version_of(sql, ALERTS, inventory_stream(tea)) == 0


async def test_a_row_never_goes_backwards(setting: Setting, sql: asyncpg.Connection) -> None:
    async with alerting(setting) as (_, _walk, rows):
        await rows.write({"inventory-1": Row(2, 7), "inventory-2": Row(1, 7)})
        await rows.write({"inventory-1": Row(1, 9), "inventory-2": Row(3, 9)})
        await rows.move_checkpoint(5)
        await rows.move_checkpoint(4)
        assert await rows.load(["inventory-1", "inventory-2"]) == {"inventory-1": Row(2, 7), "inventory-2": Row(3, 9)}
        assert await rows.checkpoint() == 5
