"""The composition root: everything is built here and passed in. Nothing connects at import."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.application import Service
from chassis.health import Health
from chassis.service import create_app, serve
from command_service import api, problems
from command_service.catalog.api import ROUTES as CATALOG_ROUTES
from command_service.catalog.domain import (
    add_new_product,
    change_price,
    discontinue_product,
    relist_product,
    update_product_details,
)
from command_service.catalog.domain.product import PRODUCT
from command_service.database import Shop, make_engine, open_shop, until_reachable
from command_service.decider import Aggregate, Command, UseCase
from command_service.event_store import api as log_api
from command_service.event_store.feed import Feed
from command_service.event_store.store import CONNECTION_SETTINGS
from command_service.executor.executor import Executor
from command_service.inventory.api import ROUTES as INVENTORY_ROUTES
from command_service.inventory.domain import add_to_inventory, confirm_items_shipped, recount
from command_service.inventory.domain.inventory import INVENTORY
from command_service.mediator import Behaviour, Mediator, logging, measuring, tracing
from command_service.outbox.housekeeping import Housekeeping
from command_service.outbox.relay import Relay
from command_service.outbox.wake_up import RelayWakeUp
from command_service.ratings.api import ROUTES as RATINGS_ROUTES
from command_service.ratings.domain import rate_product, withdraw_rating
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

BEHAVIOURS: Sequence[Behaviour] = (tracing, logging, measuring)
"""What every command passes through, from the outside in. (Validation comes first of all: a Command can't be made
from data that breaks its schema.)"""


def use_cases(shop: Shop) -> dict[type[Command], UseCase[Any]]:
    """Every command that there is, with its rule."""
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
    )
    return {case.command: case for case in cases}


async def _ping(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def make_api(settings: CommandSettings) -> Service:
    """The command API. Its executor and wake-up run as long as the application does."""
    engine = make_engine(settings, pool_size=4, max_overflow=4, pool_pre_ping=True)
    writing = make_engine(settings, CONNECTION_SETTINGS, pool_size=2, max_overflow=0)
    shop = await until_reachable(lambda: open_shop(engine, settings))
    wake_up = RelayWakeUp(settings.postgres_url)
    executor = Executor(
        writing,
        use_cases(shop),
        shop.partitions,
        wake_relay=wake_up,
        memory=settings.state_memory,
        retry_seconds=settings.fault_retry_seconds,
    )
    mediator = Mediator(BEHAVIOURS, executor.execute)
    tasks = Tasks(executor.run, wake_up.run)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(writing.dispose)
            await stack.enter_async_context(tasks)
            yield

    app = create_app(
        title="Stockroom commands",
        description="Change the shop. Read it on the query service; `Consistency-Token` lets a query see your write.",
        version=version("stockroom-command-service"),
        health=Health({"postgres": lambda: _ping(engine)}),
        operations=[
            *api.operations(mediator, (*CATALOG_ROUTES, *INVENTORY_ROUTES, *RATINGS_ROUTES)),
            *log_api.operations(Feed(engine), shop),
        ],
        problem_types=problems.ALL,
        lifespan=lifespan,
    )
    app.state.tasks = tasks
    return app


async def run_api(settings: CommandSettings) -> int:
    """The process `command-service api`."""
    app = await make_api(settings)
    code = await serve(app, settings, settings.command_port)
    return 1 if app.state.tasks.failed else code


async def run_relay(settings: CommandSettings) -> int:
    """The process `command-service relay`."""
    engine = make_engine(settings, pool_size=1, max_overflow=1, pool_pre_ping=True)
    shop = await until_reachable(lambda: open_shop(engine, settings))
    relay = Relay(settings.postgres_url, settings.rabbitmq_url, shop.partitions)
    housekeeping = Housekeeping(engine, shop.partitions, settings.receipt_days)

    async def connected() -> None:
        if not relay.connected:
            raise ConnectionError("the relay is not connected")

    app = create_app(
        title="Stockroom relay",
        description="Publishes what was committed.",
        version=version("stockroom-command-service"),
        health=Health({"postgres and rabbitmq": connected}),
    )

    async def work() -> None:
        async with Tasks(housekeeping.run):
            await relay.run()

    try:
        return await serve(app, settings, settings.relay_port, background=work)
    finally:
        await engine.dispose()
