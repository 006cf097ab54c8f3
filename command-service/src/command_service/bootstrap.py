"""The composition root: everything is built here and passed in. Nothing connects at import."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, cast

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.application import Service
from chassis.consumer import Consumer, Handler, Subscription
from chassis.health import Health
from chassis.service import Running, create_app
from command_service import api, problems
from command_service.asyncapi import api as asyncapi
from command_service.catalog.api import ROUTES as CATALOG_ROUTES
from command_service.catalog.domain import (
    add_new_product,
    change_price,
    discontinue_product,
    relist_product,
    update_product_details,
)
from command_service.catalog.domain.product import PRODUCT
from command_service.database import Shop, make_engine, until_open
from command_service.decider import Aggregate, Command, UseCase
from command_service.event_store import api as log_api
from command_service.event_store.feed import Feed
from command_service.event_store.store import CONNECTION_SETTINGS
from command_service.executor.executor import Executor
from command_service.inventory.api import ROUTES as INVENTORY_ROUTES
from command_service.inventory.domain import add_to_inventory, confirm_items_shipped, recount
from command_service.inventory.domain.inventory import INVENTORY
from command_service.mediator import Behaviour, Mediator, logging, measuring, tracing
from command_service.orders.api import ROUTES as ORDERS_ROUTES
from command_service.orders.domain import (
    cancel_order,
    confirm_payment,
    expire_order,
    place_order,
    return_items,
    ship_order,
)
from command_service.orders.domain.place_order import PlaceOrder, PlacePastOrder
from command_service.outbox.housekeeping import Housekeeping
from command_service.outbox.lanes import command_lane
from command_service.outbox.relay import Relay
from command_service.outbox.wake_up import WakeUp
from command_service.processes.runner import make_processes
from command_service.queue import api as queue_api
from command_service.queue import metrics as queue_metrics
from command_service.queue.accepting import Acceptor
from command_service.queue.broker import Publisher, command_queues
from command_service.queue.documents import CommandReader
from command_service.queue.executing import Execution
from command_service.queue.receipts import Receipts
from command_service.queue.settling import Settling
from command_service.queue.waiting import Endings
from command_service.queue.worker import CommandPartition, Partitioner
from command_service.ratings.api import ROUTES as RATINGS_ROUTES
from command_service.ratings.domain import rate_product, withdraw_rating
from command_service.read_models import api as read_models_api
from command_service.read_models.store import Discards, Generations
from command_service.settings import CommandSettings
from command_service.stock_alerts.domain import record_stock_alert
from command_service.tasks import Tasks
from contracts.topology import DEAD_LETTER_QUEUE, partition_of

_PACKAGE: Final = "stockroom-command-service"

BEHAVIOURS: Sequence[Behaviour] = (tracing, logging, measuring)
"""What every command passes through, from the outside in. (Validation comes first of all: a Command can't be made
from data that breaks its schema.)"""


ROUTES: Final = (*CATALOG_ROUTES, *INVENTORY_ROUTES, *RATINGS_ROUTES, *ORDERS_ROUTES)
"""Every command that may come from outside."""


def use_cases(shop: Shop, payment_deadline: int = 900) -> dict[type[Command], UseCase[Any]]:
    """Every command that there is, with its rule; `payment_deadline` is in seconds."""
    products = cast(Aggregate[object], PRODUCT)
    inventories = cast(Aggregate[object], INVENTORY)
    cases: tuple[UseCase[Any], ...] = (
        add_new_product.use_case(shop.currency, inventories),
        update_product_details.USE_CASE,
        change_price.USE_CASE,
        discontinue_product.USE_CASE,
        relist_product.USE_CASE,
        add_to_inventory.USE_CASE,
        recount.USE_CASE,
        confirm_items_shipped.USE_CASE,
        rate_product.use_case(products),
        withdraw_rating.use_case(products),
        place_order.use_case(PlaceOrder, products, inventories, shop.currency, payment_deadline),
        place_order.use_case(PlacePastOrder, products, inventories, shop.currency, payment_deadline),
        confirm_payment.USE_CASE,
        ship_order.use_case(inventories),
        cancel_order.use_case(inventories),
        return_items.use_case(inventories),
        expire_order.use_case(inventories),
        record_stock_alert.USE_CASE,
    )
    return {case.command: case for case in cases}


def command_reader() -> CommandReader:
    """Reads every command that may come from outside."""
    types = {route.command.type_name(): route.command for route in ROUTES}
    return CommandReader(types, frozenset(route.command.type_name() for route in ROUTES if route.creates))


def lane_of_messages(shop: Shop) -> Callable[[str], int]:
    """From a command's message, as its receipt keeps it, to the lane of the outbox that it belongs into."""
    reader, cases = command_reader(), use_cases(shop)

    def lane_of(message: str) -> int:
        command = reader.read_message(orjson.loads(message), None, datetime.now(UTC)).command
        return command_lane(partition_of(cases[type(command)].target(command).partition_key, shop.partitions))

    return lane_of


async def _ping(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


@dataclass(frozen=True, slots=True)
class WriteSide:
    """What every process has that sends commands. `tasks` must run as long as it does."""

    engine: AsyncEngine
    shop: Shop
    executor: Executor
    mediator: Mediator
    acceptor: Acceptor
    tasks: tuple[Callable[[], Awaitable[None]], ...]

    async def ping(self) -> None:
        await _ping(self.engine)


def _tell_nobody(_what: str) -> None:
    pass


@asynccontextmanager
async def write_side(settings: CommandSettings, tell: Callable[[str], None] = _tell_nobody) -> AsyncIterator[WriteSide]:
    """Connects to Postgres; waits for it and for the schema, and tells. At the end, every connection is closed."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings, pool_size=4, max_overflow=4, pool_pre_ping=True)
        stack.push_async_callback(engine.dispose)
        writing = make_engine(settings, CONNECTION_SETTINGS, pool_size=2, max_overflow=0)
        stack.push_async_callback(writing.dispose)
        shop = await until_open(engine, settings, tell)
        wake_up = WakeUp(settings.postgres_url)
        executor = Executor(
            writing,
            use_cases(shop, settings.payment_deadline),
            shop.partitions,
            wake_relay=wake_up.relay,
            wake_waiting=wake_up.waiting,
            memory=settings.state_memory,
            retry_seconds=settings.fault_retry_seconds,
        )
        mediator = Mediator(BEHAVIOURS, executor.execute)
        acceptor = Acceptor(executor, shop.partitions)
        yield WriteSide(engine, shop, executor, mediator, acceptor, (executor.run, wake_up.run))


def make_api(side: WriteSide, settings: CommandSettings) -> Service:
    """The command API."""
    receipts = Receipts(side.engine)
    endings = Endings(receipts, settings.postgres_url)
    door = api.Door(side.mediator, side.acceptor, endings, receipts)
    return create_app(
        title="Stockroom commands",
        description="Change the shop. Read it on the query service; `Consistency-Token` lets a query see your write. "
        "What stands on the broker is described by [asyncapi.json](asyncapi.json).",
        version=version(_PACKAGE),
        health=Health({"postgres": side.ping}),
        operations=[
            *api.operations(door, ROUTES),
            *queue_api.operations(door, command_reader()),
            *log_api.operations(Feed(side.engine), side.shop),
            *read_models_api.operations(Generations(side.engine), Discards(side.engine)),
            *asyncapi.operations(command_reader(), side.shop.partitions, version(_PACKAGE)),
        ],
        problem_types=problems.ALL,
        lifespan=lambda: Tasks(*side.tasks, endings.run),
    )


@asynccontextmanager
async def open_api(settings: CommandSettings, tell: Callable[[str], None]) -> AsyncIterator[Running]:
    """The process `command-service api`."""
    async with write_side(settings, tell) as side:
        yield Running(make_api(side, settings))


@asynccontextmanager
async def open_worker(settings: CommandSettings, tell: Callable[[str], None]) -> AsyncIterator[Running]:
    """The process `command-service worker`."""
    async with write_side(settings, tell) as side:
        publisher = Publisher(settings.rabbitmq_url, "stockroom-worker-publishing")
        execution = Execution(side.mediator, Settling(side.engine), publisher)
        reader = command_reader()
        queues = command_queues(side.shop.partitions)

        def handler(number: int) -> Handler:
            if number < side.shop.partitions:
                return CommandPartition(reader, execution)
            return Partitioner(reader, execution, side.acceptor, publisher)

        consumer = Consumer(
            settings.rabbitmq_url,
            Subscription("stockroom-worker", queues, DEAD_LETTER_QUEUE, settings.worker_prefetch),
            handler,
            lambda consumed: queue_metrics.CONSUMED.set(len(consumed)),
        )

        async def consuming() -> None:
            if not consumer.consumed:
                raise ConnectionError("no queue is consumed")

        app = create_app(
            title="Stockroom worker",
            description="Executes queued commands.",
            version=version(_PACKAGE),
            health=Health({"postgres": side.ping, "rabbitmq": consuming}),
        )

        async def work() -> None:
            async with Tasks(*side.tasks):
                try:
                    await consumer.run()
                finally:
                    await publisher.close()

        yield Running(app, work)


@asynccontextmanager
async def open_relay(settings: CommandSettings, tell: Callable[[str], None]) -> AsyncIterator[Running]:
    """The process `command-service relay`."""
    async with AsyncExitStack() as stack:
        engine = make_engine(settings, pool_size=1, max_overflow=1, pool_pre_ping=True)
        stack.push_async_callback(engine.dispose)
        shop = await until_open(engine, settings, tell)
        relay = Relay(settings.postgres_url, settings.rabbitmq_url, shop.partitions)
        housekeeping = Housekeeping(engine, shop.partitions, settings.receipt_days)

        async def connected() -> None:
            if not relay.connected:
                raise ConnectionError("the relay is not connected")

        app = create_app(
            title="Stockroom relay",
            description="Publishes what was committed.",
            version=version(_PACKAGE),
            health=Health({"postgres and rabbitmq": connected}),
        )

        async def work() -> None:
            async with Tasks(housekeeping.run):
                await relay.run()

        yield Running(app, work)


@asynccontextmanager
async def open_processes(settings: CommandSettings, tell: Callable[[str], None]) -> AsyncIterator[Running]:
    """The process `command-service processes`."""
    async with write_side(settings, tell) as side, AsyncExitStack() as stack:
        # What a manager has written down and a crash of Postgres forgets, the walk brings again from the log: its
        # checkpoint is written later, and so never outlives it. No commit of theirs need wait for the disk, and none
        # has more than one statement. All find their rows by key, which the planner may not know of a new table.
        own_settings = {"synchronous_commit": "off", "enable_seqscan": "off", "jit": "off"}
        own = make_engine(settings, own_settings, pool_size=8, isolation_level="AUTOCOMMIT")
        stack.push_async_callback(own.dispose)
        processes = make_processes(
            own,
            Feed(own),
            side.mediator,
            settings.rabbitmq_url,
            side.shop.partitions,
            settings.low_stock,
        )
        app = create_app(
            title="Stockroom processes",
            description="Process managers: they react to events, and to time, with commands.",
            version=version(_PACKAGE),
            health=Health({"postgres": side.ping, "rabbitmq": processes.check_broker, "log": processes.check_log}),
        )

        async def work() -> None:
            async with Tasks(*side.tasks):
                await processes.run()

        yield Running(app, work)
