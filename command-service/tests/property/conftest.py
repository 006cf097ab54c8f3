"""Two processes on one database; and what the projector's tests have, to follow events on to the read model."""

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.bootstrap import use_cases
from command_service.database import Shop, make_engine
from command_service.event_store.store import CONNECTION_SETTINGS
from command_service.executor import batch
from command_service.executor.executor import Executor
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

# Before pytest takes the projector's folder for the package: see projector/tests/conftest.py.
importlib.import_module("projector")
sys.path.insert(0, str(Path(__file__).parents[3] / "projector" / "tests" / "support"))

PARTITIONS = 8
REMEMBERED = (20_000, 2)
RETRY_SECONDS = 60.0


@pytest.fixture
def frequent_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short histories have some."""
    monkeypatch.setattr(batch, "SNAPSHOT_EVERY", 3)


@pytest.fixture
async def engine(settings: CommandSettings, shop_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture
async def executors(
    settings: CommandSettings, shop_url: str, frequent_snapshots: None
) -> AsyncIterator[list[Executor]]:
    """Two processes, as far as Postgres can tell: one remembers every state, the other loads nearly every state."""
    async with AsyncExitStack() as stack:
        executors = []
        for memory in REMEMBERED:
            engine = make_engine(settings, CONNECTION_SETTINGS, pool_size=2, max_overflow=0)
            stack.push_async_callback(engine.dispose)
            cases = use_cases(Shop(PARTITIONS, "EUR"))
            executors.append(Executor(engine, cases, PARTITIONS, memory=memory, retry_seconds=RETRY_SECONDS))
            await stack.enter_async_context(Tasks(executors[-1].run))
        yield executors
