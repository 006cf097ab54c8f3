"""Stock alerts on real servers: one for each crossing, however the events are delivered."""

import random
from collections.abc import Sequence

import asyncpg
import pytest

from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.processes.rows import Rows
from command_service.settings import CommandSettings
from contracts.envelope import RecordedEvent
from contracts.streams import inventory_stream, stock_alert_stream

from .process_support import ALERTS, Setting, cases, consuming, events_of, publishing, stocked, types_of, until_version
from .support import Client, Launcher

NEVER = 1000.0
"""So long between walks that there is none but the first: what happens is the deliveries' doing."""

FALLS = ["StockRanLow", "StockRanOut"]


@pytest.fixture
def setting(settings: CommandSettings, launch: Launcher, rabbitmq_url: str) -> Setting:
    return Setting(settings, launch, rabbitmq_url, {"walk_seconds": NEVER})


async def history(setting: Setting, client: Client, falls: int = 2) -> list[RecordedEvent]:
    """The events of a new product's inventory, which falls from 7 to 0 so many times."""
    product_id = await stocked(client, 7)
    for _ in range(falls):
        for _ in range(7):
            await client.succeed(ConfirmItemsShipped(product_id=product_id, quantity=1))
        await client.succeed(AddToInventory(product_id=product_id, quantity=7))
    return await events_of(setting, inventory_stream(product_id))


async def alerts(sql: asyncpg.Connection, events: Sequence[RecordedEvent]) -> list[str]:
    return await types_of(sql, stock_alert_stream(events[0].partition_key))


async def test_each_crossing_alerts_once_when_messages_come_twice_and_in_any_order(
    setting: Setting, sql: asyncpg.Connection
) -> None:
    shop = await setting.launch(cases())
    chance = random.Random(7)
    async with setting.instances(2) as instances, publishing(setting.rabbitmq_url) as publish:
        await consuming(*instances)
        events = await history(setting, shop)
        deliveries = [events[start : start + 3] for start in range(0, len(events), 3)] * 3
        chance.shuffle(deliveries)
        for delivered in deliveries:
            await publish(chance.sample(delivered, len(delivered)))
        await until_version(sql, ALERTS, events[0].stream_id, len(events))
    assert await alerts(sql, events) == FALLS * 2


async def test_events_before_a_gap_come_from_the_log(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        events = await history(setting, shop)
        await publish(events[-1:])
        await until_version(sql, ALERTS, events[0].stream_id, len(events))
    assert await alerts(sql, events) == FALLS * 2


async def test_an_alert_says_what_it_follows_from(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    async with setting.instance() as instance, publishing(setting.rabbitmq_url) as publish:
        await consuming(instance)
        events = await history(setting, shop, falls=1)
        await publish(events)
        await until_version(sql, ALERTS, events[0].stream_id, len(events))
    low, out = instance.sent
    assert (low.causation_id, low.correlation_id) == (events[2].id, "test")
    assert (out.causation_id, out.command_id) == (events[7].id, f"{ALERTS}/{events[7].id}/0")


async def test_a_crash_between_command_and_row_sends_the_same_command_again(
    setting: Setting, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        pass

    async def crash(*_: object) -> None:
        raise Crash

    shop = await setting.launch(cases())
    async with publishing(setting.rabbitmq_url) as publish:
        with monkeypatch.context() as patched:
            async with setting.instance() as first:
                await consuming(first)
                events = await history(setting, shop, falls=1)
                patched.setattr(Rows, "write", crash)
                await publish(events)
                await first.died()
                assert await alerts(sql, events) == FALLS
        async with setting.instance() as second:
            await until_version(sql, ALERTS, events[0].stream_id, len(events))
    assert [one.command_id for one in second.sent] == [one.command_id for one in first.sent]
    assert await alerts(sql, events) == FALLS
