"""Payment deadlines on real servers: an unpaid order expires once, whoever crashes in between."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from command_service.orders.domain.confirm_payment import ConfirmPayment
from command_service.processes.rows import Rows
from command_service.processes.timers import Timers
from command_service.settings import CommandSettings
from contracts.streams import inventory_stream, order_stream

from .process_support import (
    DEADLINES,
    Setting,
    cases,
    consuming,
    order_of,
    receipts,
    stocked,
    types_of,
    until_types,
    until_version,
)
from .relay_support import relaying
from .support import Launcher, until

EXPIRED = ["OrderPlaced", "OrderExpired"]


@pytest.fixture
def setting(settings: CommandSettings, launch: Launcher, rabbitmq_url: str) -> Setting:
    return Setting(settings, launch, rabbitmq_url)


async def timer(sql: asyncpg.Connection, order_id: str) -> Any:
    return await sql.fetchval("SELECT due_at FROM process_streams WHERE stream_id = $1", order_stream(order_id))


async def test_an_unpaid_order_expires_once_with_two_instances(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases(payment_seconds=1))
    async with relaying(setting.settings.postgres_url, setting.rabbitmq_url), setting.instances(2) as instances:
        await consuming(*instances)
        tea = await stocked(shop, 100)
        orders = [await order_of(shop, tea) for _ in range(10)]
        for order_id in orders:
            await until_types(sql, order_stream(order_id), EXPIRED)
            await until_version(sql, DEADLINES, order_stream(order_id), 2)
    assert [await timer(sql, order_id) for order_id in orders] == [None] * 10
    assert sorted(await receipts(sql, "ExpireOrder")) == sorted(f"{DEADLINES}/{order_stream(o)}@1/due" for o in orders)
    assert (await types_of(sql, inventory_stream(tea))).count("ReservationReleased") == 10


async def test_an_order_that_is_paid_in_time_is_left_alone(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases(payment_seconds=900))
    async with relaying(setting.settings.postgres_url, setting.rabbitmq_url), setting.instance() as instance:
        await consuming(instance)
        order_id = await order_of(shop, await stocked(shop, 10))
        await until_version(sql, DEADLINES, order_stream(order_id), 1)
        placed = "SELECT recorded_at + interval '900 seconds' FROM events WHERE stream_id = $1"
        assert await timer(sql, order_id) == await sql.fetchval(placed, order_stream(order_id))
        await shop.succeed(ConfirmPayment(order_id=order_id, amount="18.00", reference="r"))
        await until_version(sql, DEADLINES, order_stream(order_id), 2)
        assert await timer(sql, order_id) is None
        assert instance.sent == []


async def test_what_expires_says_which_event_caused_it(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases())
    async with setting.instance() as instance:
        order_id = await order_of(shop, await stocked(shop, 10))
        await until_types(sql, order_stream(order_id), EXPIRED)
    [sent] = instance.sent
    assert (sent.causation_id, sent.correlation_id) == (f"{order_stream(order_id)}@1", "test")


class Crash(Exception):
    """The process is killed here."""


class Crashes:
    """Kills the first who comes to a step of the payment deadlines, before or after it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.left = 1

    def at(self, owner: Any, step: str, *, after: bool) -> None:
        original: Callable[..., Any] = getattr(owner, step)

        async def crashing(self_: Any, *arguments: Any) -> Any:
            concerned = not isinstance(self_, Rows) or self_._manager.name == DEADLINES
            if self.left and concerned and not after:
                self._crash()
            result = await original(self_, *arguments)
            if self.left and concerned and after:
                self._crash()
            return result

        self._monkeypatch.setattr(owner, step, crashing)

    def _crash(self) -> None:
        self.left -= 1
        raise Crash


STEPS = {
    "before the row is written": (Rows, "write", False),
    "after the row is written, before the message is acknowledged": (Rows, "write", True),
    "before the timer's command is sent": (Timers, "_send", False),
    "after the timer's command, before the timer is cleared": (Rows, "clear_timer", False),
    "after the timer is cleared": (Rows, "clear_timer", True),
}


@pytest.mark.parametrize("step", STEPS)
async def test_an_order_expires_once_whenever_the_process_is_killed(
    step: str, setting: Setting, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.options = {"walk_seconds": 1000.0}
    shop = await setting.launch(cases())
    crashes = Crashes(monkeypatch)
    async with relaying(setting.settings.postgres_url, setting.rabbitmq_url):
        async with setting.instance() as first:
            await consuming(first)
            owner, name, after = STEPS[step]
            tea = await stocked(shop, 10)
            await until_version(sql, "stock-alerts", inventory_stream(tea), 1)
            crashes.at(owner, name, after=after)
            order_id = await order_of(shop, tea)
            assert isinstance(await first.died(), Crash)
        async with setting.instance():
            await until_types(sql, order_stream(order_id), EXPIRED)
            await until_version(sql, DEADLINES, order_stream(order_id), 2)
    assert crashes.left == 0
    assert await receipts(sql, "ExpireOrder") == [f"{DEADLINES}/{order_stream(order_id)}@1/due"]


async def test_a_deadline_that_passes_while_nobody_runs_is_kept(setting: Setting, sql: asyncpg.Connection) -> None:
    shop = await setting.launch(cases(payment_seconds=1))
    tea = await stocked(shop, 10)
    order_id = await order_of(shop, tea)
    async with setting.instance():
        await until_version(sql, DEADLINES, order_stream(order_id), 1)

    async def is_due() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM process_streams WHERE due_at < now()"))

    await until(is_due)
    async with setting.instance():
        await until_types(sql, order_stream(order_id), EXPIRED)
