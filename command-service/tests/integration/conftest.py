"""Fixtures of the write side's integration tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from command_service.settings import CommandSettings

from .support import Launcher, Spy, launcher


@pytest.fixture
async def launch(settings: CommandSettings, shop_url: str) -> AsyncIterator[Launcher]:
    """Starts executors on one database, which end with the test."""
    async with AsyncExitStack() as stack:
        yield launcher(settings, stack)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)
