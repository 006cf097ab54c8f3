"""What the tests of the write side share: executors on a real database, and commands for them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg
import pytest

from chassis.ids import new_id
from command_service.bootstrap import use_cases
from command_service.catalog.domain.add_new_product import AddNewProduct
from command_service.database import Shop, make_engine
from command_service.decider import Command, UseCase
from command_service.envelope import CommandEnvelope, ExpectedVersion, Outcome, fingerprint_of
from command_service.event_store.locks import LockKey
from command_service.event_store.store import CONNECTION_SETTINGS, BatchTransaction, NewEvent
from command_service.executor import executor as executor_module
from command_service.executor.executor import Executor
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

PARTITIONS = 8
DEADLINE = 60.0
"""Seconds within which what must happen has happened, on however slow a machine."""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition that nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def product(**data: Any) -> AddNewProduct:
    return AddNewProduct.model_validate({"id": new_id(), "name": "Chai", "price": "18.00", **data})


def envelope(command: Command, key: str | None = None, expected: ExpectedVersion | None = None) -> CommandEnvelope:
    return CommandEnvelope(
        command=command.identified(new_id()),
        command_id=key or new_id(),
        fingerprint=fingerprint_of(command, expected),
        correlation_id="test",
        causation_id="test",
        submitted_at=datetime.now(UTC),
        expected_version=expected,
    )


def version(*accepted: int) -> ExpectedVersion:
    return ExpectedVersion(frozenset(accepted))


@dataclass
class Client:
    """Sends commands to one executor, as one of several processes would."""

    executor: Executor

    async def send(self, command: Command, key: str | None = None, expected: ExpectedVersion | None = None) -> Outcome:
        return await self.executor.execute(envelope(command, key, expected))

    async def succeed(self, *commands: Command) -> list[Outcome]:
        """The outcomes of commands sent at once, each of which succeeds."""
        outcomes = await asyncio.gather(*(self.send(command) for command in commands))
        assert [outcome.problem for outcome in outcomes] == [None] * len(outcomes)
        return list(outcomes)


class Launcher(Protocol):
    """Starts another executor on the test's database: another process, as far as Postgres can tell."""

    async def __call__(self, cases: dict[type[Command], UseCase[Any]] | None = None, **options: Any) -> Client: ...


def launcher(settings: CommandSettings, stack: AsyncExitStack) -> Launcher:
    async def launch(cases: dict[type[Command], UseCase[Any]] | None = None, **options: Any) -> Client:
        engine = make_engine(settings, CONNECTION_SETTINGS, pool_size=2, max_overflow=0)
        stack.push_async_callback(engine.dispose)
        # A test on a busy machine must not fail for want of a second.
        options = {"retry_seconds": DEADLINE, **options}
        executor = Executor(engine, cases or use_cases(Shop(PARTITIONS, "EUR")), PARTITIONS, **options)
        await stack.enter_async_context(Tasks(executor.run))
        return Client(executor)

    return launch


class CountingConnection:
    """A connection that counts what is sent over it."""

    def __init__(self, connection: asyncpg.Connection, spy: "Spy") -> None:
        self._connection = connection
        self._spy = spy

    async def execute(self, *arguments: Any) -> Any:
        self._spy.round_trips += 1
        return await self._connection.execute(*arguments)

    async def fetch(self, *arguments: Any) -> Any:
        self._spy.round_trips += 1
        return await self._connection.fetch(*arguments)


class Spy:
    """Counts transactions and round trips of every executor from here on, and does `hook(step)` before each step.

    The steps are begin, load, append and commit; after the commit comes the step done.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.transactions = 0
        self.round_trips = 0
        self.hook: Callable[[str, asyncpg.Connection], Awaitable[None]] | None = None
        spy = self

        class Spied(BatchTransaction):
            def __init__(self, connection: asyncpg.Connection) -> None:
                super().__init__(CountingConnection(connection, spy))
                self._raw = connection

            async def begin(self, locks: dict[LockKey, bool]) -> None:  # type: ignore[override]
                spy.transactions += 1
                await self._at("begin")
                await super().begin(locks)

            async def load(self, *arguments: Any) -> Any:
                await self._at("load")
                return await super().load(*arguments)

            async def append(self, *arguments: Any) -> None:
                await self._at("append")
                await super().append(*arguments)

            async def commit(self) -> None:
                await self._at("commit")
                await super().commit()
                await self._at("done")

            async def _at(self, step: str) -> None:
                if spy.hook is not None:
                    await spy.hook(step, self._raw)

        monkeypatch.setattr(executor_module, "BatchTransaction", Spied)


def new_event(stream_id: str, version: int = 1, message: str = "{}", partition: int = 0, data: str = "{}") -> NewEvent:
    metadata = '{"command": "c", "command_id": "i", "correlation_id": "o", "causation_id": "a"}'
    return NewEvent(stream_id, version, stream_id, partition, "StockAdded", 1, data, metadata, message)
