"""Two executors on one database, as two processes would be, whose connections break at chosen moments."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.bootstrap import use_cases
from command_service.database import Shop, make_engine
from command_service.event_store.locks import LockKey
from command_service.event_store.store import CONNECTION_SETTINGS, BatchTransaction
from command_service.executor.executor import Executor
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

from .write_side import PARTITIONS

DEADLINE: Final = 60.0
"""Seconds within which everybody has an answer, on however slow a machine."""

PATIENT, HASTY = 0, 1
"""The process that tries again until it knows, and the one that leaves it to whoever asks again."""

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """What happens to the next connection that comes to `step` of a batch. After the commit comes the step done."""

    step: str
    kind: str


STEPS_OF_A_BATCH: Final = ("begin", "load", "append", "commit", "done")
FAULTS = st.sampled_from(
    [Fault(step, kind) for step in STEPS_OF_A_BATCH for kind in ("killed", "killed meanwhile", "cut")]
    + [Fault("commit", "commits unheard")] * 3
)


class Breaking(BatchTransaction):
    """Does `break_at(step, connection)` before each step."""

    break_at: Callable[[str, asyncpg.Connection], Awaitable[None]]

    async def begin(self, locks: Mapping[LockKey, bool]) -> None:
        await self.break_at("begin", self._connection)
        await super().begin(locks)

    async def load(self, *arguments: Any) -> Any:
        await self.break_at("load", self._connection)
        return await super().load(*arguments)

    async def append(self, *arguments: Any) -> None:
        await self.break_at("append", self._connection)
        await super().append(*arguments)

    async def commit(self) -> None:
        await self.break_at("commit", self._connection)
        await super().commit()
        await self.break_at("done", self._connection)


class Processes:
    """Two executors on one database, whose connections break as told."""

    def __init__(self, settings: CommandSettings) -> None:
        self.faults: list[Fault] = []
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._settings = settings
        self._stack = AsyncExitStack()
        self._beside_it: list[asyncio.Future[Any]] = []
        self._killing = asyncio.Lock()

    def run(self, work: Awaitable[T]) -> T:
        async def within_deadline() -> T:
            async with asyncio.timeout(DEADLINE):
                return await work

        return self.runner.run(within_deadline())

    async def open(self) -> None:
        self.executors = [await self._executor(20_000, DEADLINE), await self._executor(2, 0.0)]
        self.engine = self._engine()
        self.sql = await asyncpg.connect(self._settings.postgres_url)
        self._killer = await asyncpg.connect(self._settings.postgres_url)

    async def close(self) -> None:
        await self.calm()
        await self._stack.aclose()
        self.sql.terminate()
        self._killer.terminate()

    async def calm(self) -> None:
        """No more faults; returns when those under way are through."""
        self.faults.clear()
        beside, self._beside_it = self._beside_it, []
        await asyncio.gather(*beside, return_exceptions=True)

    async def _executor(self, memory: int, retry_seconds: float) -> Executor:
        cases = use_cases(Shop(PARTITIONS, "EUR"))
        executor = Executor(self._engine(), cases, PARTITIONS, memory=memory, retry_seconds=retry_seconds)
        await self._stack.enter_async_context(Tasks(executor.run))
        return executor

    def _engine(self) -> AsyncEngine:
        engine = make_engine(self._settings, CONNECTION_SETTINGS, pool_size=2, max_overflow=0)
        self._stack.push_async_callback(engine.dispose)
        return engine

    async def break_at(self, step: str, connection: asyncpg.Connection) -> None:
        fault = next((fault for fault in self.faults if fault.step == step), None)
        if fault is None:
            return
        self.faults.remove(fault)
        match fault.kind:
            case "killed":
                await self._kill(connection)
            case "killed meanwhile":
                self._beside(self._kill(connection))
                return
            case "cut":
                connection.terminate()
            case "commits unheard":
                self._beside(connection.execute("COMMIT"))
                await asyncio.sleep(0)  # it is sent
        raise ConnectionResetError(fault)

    async def _kill(self, connection: asyncpg.Connection) -> None:
        async with self._killing:
            await self._killer.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())

    def _beside(self, work: Awaitable[Any]) -> None:
        self._beside_it.append(asyncio.ensure_future(work))
