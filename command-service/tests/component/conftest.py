"""The command API over ASGI, on a real database."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from command_service.bootstrap import make_api, write_side
from command_service.settings import CommandSettings

from .support import Shop


@pytest.fixture
async def shop(settings: CommandSettings, sql: asyncpg.Connection) -> AsyncIterator[Shop]:
    async with write_side(settings) as side:
        app = make_api(side, settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            yield Shop(client, sql)
