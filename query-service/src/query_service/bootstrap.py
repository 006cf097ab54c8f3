"""The one place where the query service is put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from chassis.application import Service
from chassis.health import Health
from chassis.service import create_app
from chassis.tasks import end
from query_service import problems
from query_service.alerts import routes as alert_routes
from query_service.inventory import routes as inventory_routes
from query_service.orders import routes as order_routes
from query_service.products import routes as product_routes
from query_service.read_model.announcements import Announcements
from query_service.read_model.image import Image
from query_service.read_model.reading import ReadModel
from query_service.read_model.redis_client import Redis, connect
from query_service.sales import routes as sales_routes
from query_service.settings import QuerySettings

_DESCRIPTION = """The read side of Stockroom: products, ratings, stock, orders and sales, as they were projected.

A query that carries the `Consistency-Token` of a command answers from a read model that has seen that command, waits
for it (`Prefer: wait=N`), or answers 503; never an older state."""


def build(settings: QuerySettings) -> Service:
    """The service, not yet connected: it connects when it is asked, and again by itself whenever Redis was away."""
    client, listening_client = connect(settings.redis_url), connect(settings.redis_url, resent_after=())
    image = Image(settings.image_documents, settings.image_bytes)
    announcements = Announcements(listening_client, image)
    read_model = ReadModel(Redis(client), announcements, image)
    health = Health({"read model": read_model.check})

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        listening = asyncio.create_task(announcements.run())
        try:
            yield
        finally:
            await end(listening)
            await listening_client.aclose()
            await client.aclose()

    return create_app(
        title="Stockroom queries",
        description=_DESCRIPTION,
        version=version("stockroom-query-service"),
        health=health,
        operations=[
            *product_routes.operations(read_model),
            *inventory_routes.operations(read_model),
            *order_routes.operations(read_model),
            *alert_routes.operations(read_model),
            *sales_routes.operations(read_model, settings.currency),
        ],
        problem_types=problems.ALL,
        lifespan=lifespan,
    )
