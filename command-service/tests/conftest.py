"""Fixtures for every test that needs a shop's database."""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping

import asyncpg
import pytest
import structlog

from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.settings import CommandSettings
from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Postgres
from stockroom_local.servers.requirements import Means


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> None:
    """Plain lines: structlog's own default draws every variable of a traceback, for minutes where a batch is large."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture
def settings(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> CommandSettings:
    """Settings that lead to an empty database of the test's own, whatever the environment says."""
    monkeypatch.setenv("STOCKROOM_POSTGRES_URL", postgres_url)
    monkeypatch.delenv("STOCKROOM_PARTITIONS", raising=False)
    monkeypatch.delenv("STOCKROOM_CURRENCY", raising=False)
    return CommandSettings()


@pytest.fixture
async def shop_url(settings: CommandSettings) -> str:
    """A database with the newest schema and nothing in it."""
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()
    return settings.postgres_url


@pytest.fixture
async def sql(shop_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, to look behind the scenes."""
    connection = await asyncpg.connect(shop_url)
    yield connection
    connection.terminate()


@pytest.fixture
def own_postgres(server_means: Mapping[str, Means]) -> Iterator[Postgres]:
    """A PostgreSQL that the test may stop."""
    home = new_home()
    server = Postgres(home, server_means[Postgres.title])
    server.start()
    yield server
    server.discard()
    shutil.rmtree(home, ignore_errors=True)
