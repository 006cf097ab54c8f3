"""Instances of the process managers, as several processes would run them, and a shop for them to follow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel

from chassis import broker
from chassis.ids import new_id
from command_service.catalog.domain import add_new_product
from command_service.catalog.domain.product import PRODUCT
from command_service.database import make_engine
from command_service.decider import Aggregate, Command, UseCase
from command_service.envelope import CommandEnvelope, Outcome
from command_service.event_store.feed import Feed
from command_service.inventory.domain import add_to_inventory, confirm_items_shipped
from command_service.inventory.domain.inventory import INVENTORY
from command_service.mediator import Mediator, Next
from command_service.orders.domain import confirm_payment, expire_order, place_order
from command_service.orders.domain.place_order import LineOrdered, PlaceOrder
from command_service.processes.runner import Processes, make_processes
from command_service.settings import CommandSettings
from command_service.stock_alerts.domain import record_stock_alert
from contracts.envelope import RecordedEvent, encode, kinds_in
from contracts.topology import EVENTS_EXCHANGE, further_routing, partition_of, routing_key

from .support import PARTITIONS, Client, Launcher, product, until

LOW_STOCK = 5
DEADLINES = "payment-deadlines"
ALERTS = "stock-alerts"


def cases(payment_seconds: int = 0) -> dict[type[Command], UseCase[Any]]:
    products = cast(Aggregate[object], PRODUCT)
    inventories = cast(Aggregate[object], INVENTORY)
    all_: Sequence[UseCase[Any]] = (
        add_new_product.use_case("EUR", inventories),
        add_to_inventory.USE_CASE,
        confirm_items_shipped.USE_CASE,
        place_order.use_case(PlaceOrder, products, inventories, "EUR", payment_seconds),
        confirm_payment.USE_CASE,
        expire_order.use_case(inventories),
        record_stock_alert.USE_CASE,
    )
    return {case.command: case for case in all_}


async def stocked(client: Client, stock: int) -> str:
    """A new product with so many pieces; its id."""
    added = product(initial_stock=stock)
    await client.succeed(added)
    return added.product_id


async def order_of(client: Client, product_id: str, quantity: int = 1) -> str:
    """A new order; its id."""
    order_id = new_id()
    lines = (LineOrdered(product_id=product_id, quantity=quantity),)
    await client.succeed(PlaceOrder(id=order_id, customer_id="c", lines=lines))
    return order_id


@dataclass
class Instance:
    """One process. `sent` are the commands that it sent; `before` is awaited before each."""

    processes: Processes
    sent: list[CommandEnvelope]
    task: "asyncio.Task[None]"

    async def died(self) -> BaseException:
        """What it died of, at last."""
        await asyncio.wait([self.task])
        error = self.task.exception()
        assert error is not None
        return error


Before = Callable[[CommandEnvelope], Awaitable[None]]


async def _nothing(_envelope: CommandEnvelope) -> None:
    pass


@dataclass
class Setting:
    """Where instances run: a database with its executors, and a broker."""

    settings: CommandSettings
    launch: Launcher
    rabbitmq_url: str
    options: dict[str, Any] = field(default_factory=lambda: {"walk_seconds": 0.1})

    @asynccontextmanager
    async def instance(self, before: Before = _nothing, **options: Any) -> AsyncIterator[Instance]:
        executor = (await self.launch(cases())).executor
        engine = make_engine(self.settings, pool_size=4, max_overflow=4, pool_pre_ping=True)
        sent: list[CommandEnvelope] = []

        async def recording(envelope: CommandEnvelope, following: Next) -> Outcome:
            await before(envelope)
            outcome = await following(envelope)
            sent.append(envelope)
            return outcome

        processes = make_processes(
            engine,
            Feed(engine),
            Mediator([recording], executor.execute),
            self.rabbitmq_url,
            PARTITIONS,
            LOW_STOCK,
            **{**self.options, **options},
        )
        task = asyncio.create_task(processes.run())
        try:
            yield Instance(processes, sent, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.dispose()

    @asynccontextmanager
    async def instances(self, count: int, **options: Any) -> AsyncIterator[list[Instance]]:
        if count == 0:
            yield []
            return
        async with self.instance(**options) as first, self.instances(count - 1, **options) as others:
            yield [first, *others]


async def consuming(*instances: Instance) -> None:
    """Until every queue of every manager is there and consumed: from here on nothing that is published is lost."""

    async def all_are() -> bool:
        return all(len(process.consumer.consumed) == PARTITIONS for one in instances for process in one.processes.all)

    await until(all_are)


@asynccontextmanager
async def publishing(rabbitmq_url: str) -> AsyncIterator[Callable[[Sequence[RecordedEvent]], Awaitable[None]]]:
    """Publishes events of one partition as one message, in whatever order they are given."""
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel: AbstractChannel = await connection.channel()
        exchange = await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE)

        async def publish(events: Sequence[RecordedEvent]) -> None:
            body = b"[" + b",".join(encode(event) for event in events) + b"]"
            partition = partition_of(events[0].partition_key, PARTITIONS)
            message = aio_pika.Message(body, headers=further_routing(partition, kinds_in(body)))
            await exchange.publish(message, routing_key(partition))

        yield publish


async def events_of(setting: Setting, stream_id: str) -> list[RecordedEvent]:
    """A stream's events, as they are published."""
    engine = make_engine(setting.settings)
    events = await Feed(engine).stream(stream_id, 0, 1000)
    await engine.dispose()
    return events or []


async def types_of(sql: asyncpg.Connection, stream_id: str) -> list[str]:
    """The types of a stream's events."""
    rows = await sql.fetch("SELECT type FROM events WHERE stream_id = $1 ORDER BY version", stream_id)
    return [row["type"] for row in rows]


async def version_of(sql: asyncpg.Connection, manager: str, stream_id: str) -> int:
    """The version up to which a manager has handled a stream."""
    return (
        await sql.fetchval(
            "SELECT version FROM process_streams WHERE manager = $1 AND stream_id = $2", manager, stream_id
        )
        or 0
    )


async def until_version(sql: asyncpg.Connection, manager: str, stream_id: str, version: int) -> None:
    async def handled() -> bool:
        return await version_of(sql, manager, stream_id) >= version

    await until(handled)


async def until_types(sql: asyncpg.Connection, stream_id: str, types: list[str]) -> None:
    async def there() -> bool:
        found = await types_of(sql, stream_id)
        assert found == types[: len(found)]
        return found == types

    await until(there)


async def checkpoint(sql: asyncpg.Connection, manager: str) -> int:
    return await sql.fetchval("SELECT position FROM process_checkpoints WHERE manager = $1", manager) or 0


async def receipts(sql: asyncpg.Connection, command: str) -> list[str]:
    rows = await sql.fetch("SELECT command_id FROM receipts WHERE type = $1 ORDER BY command_id", command)
    return [row["command_id"] for row in rows]
