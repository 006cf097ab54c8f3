"""Two projectors on one Redis that loses things, and breaks between their reading and their writing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest
from projector_testing.command_service import CommandService
from projector_testing.expectation import expected
from projector_testing.read_model import dump
from projector_testing.shop import GENERATION, PARTITIONS, Log
from redis.exceptions import ConnectionError as Cut

from contracts.envelope import RecordedEvent
from projector import connections, pipeline
from projector.feed import System
from projector.healing import Healing
from projector.progress import Progress
from projector.script import CompareAndApply, Request, Verdict
from projector.settings import ProjectorSettings
from projector.store import Store
from projector.walk import PASSING, Walk

DEADLINE: Final = 60.0
"""Seconds within which what must happen has happened, on however slow a machine."""

LEASE: Final = f"{GENERATION.prefix}walk"
ANOTHER_LEADS_MS: Final = 100
_VERSIONS: Final = GENERATION.version("")

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """What happens before or after the script that a projector runs next but `later`."""

    later: int
    is_after: bool
    kind: str


@dataclass(frozen=True)
class Projector:
    """One instance: what its consumers apply with, and its walk."""

    healing: Healing
    store: Store
    walk: Walk

    async def apply(self, partition: int, events: Sequence[RecordedEvent]) -> bool:
        """As a consumer does it; False where it would hold the message and try again later."""
        try:
            await self.healing.apply(partition, events, self.store.whole, behind_too=True)
        except PASSING:
            return False
        return True


class World:
    """Redis, the log, and the projectors between them."""

    def __init__(self, redis_url: str) -> None:
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.service = CommandService(Log())
        self.faults: list[Fault] = []
        self.overtake: Callable[[], Awaitable[object]] | None = None
        """What another projector does when a fault says that it comes first."""
        self.versions: dict[str, int] = {}
        """As they were when last looked at; empty after a loss."""
        self._redis_url = redis_url
        self._copy: dict[bytes, bytes] = {}
        self._stack = AsyncExitStack()
        self._scripts = asyncio.Lock()

    @property
    def log(self) -> Log:
        return self.service.log

    def run(self, work: Awaitable[T]) -> T:
        async def within_deadline() -> T:
            async with asyncio.timeout(DEADLINE):
                return await work

        return self.runner.run(within_deadline())

    async def start(self) -> None:
        await self._stack.enter_async_context(self.service)
        settings = ProjectorSettings(redis_url=self._redis_url, command_url=self.service.url)
        self.connections = connections.connect(settings)
        self._stack.push_async_callback(self.connections.close)
        self.redis = self.connections.redis

    async def close(self) -> None:
        await self._stack.aclose()

    async def begin(self, log: Log) -> None:
        """An empty Redis, and a log."""
        self.service.log = log
        self.faults.clear()
        await self.lose_all()
        await self.copy()

    def projector(self) -> Projector:
        made, redis, feed = self.connections, self.redis, self.connections.feed
        store = Store(redis, GENERATION, made.discards)
        healing = Healing(feed, store, Progress(redis, GENERATION, PARTITIONS, "EUR"), made.settings.batch_events)
        return Projector(healing, store, pipeline.build(made, System(PARTITIONS, "EUR"), GENERATION.number).walk)

    # What happens to Redis

    async def copy(self) -> None:
        keys = [key async for key in self.redis.scan_iter(count=1000) if key != LEASE.encode()]
        self._copy = {key: await self.redis.dump(key) for key in keys}

    async def restore_copy(self) -> None:
        """The copy that was made last is all that is left. A lease would have expired meanwhile."""
        await self.lose_all()
        for key, value in self._copy.items():
            await self.redis.restore(key, 0, value)

    async def lose_all(self) -> None:
        await self.redis.flushall()
        self.versions.clear()

    async def run_script(
        self, script: CompareAndApply, request: Request, really: Callable[..., Awaitable[Verdict]]
    ) -> Verdict:
        await self._break(is_after=False)
        async with self._scripts:
            must = [key for key, _ in request.guard]
            found = await self.redis.mget(must) if must else []
            verdict = await really(script, request)
        if verdict is Verdict.APPLIED and _writes_versions(request):
            assert {GENERATION.complete, LEASE} & {*must}, "applied without marker and without lease"
            for (key, wanted), value in zip(request.guard, found, strict=True):
                assert value is not None and wanted in ("", value.decode()), f"applied although {key} was {value!r}"
        await self._break(is_after=True)
        return verdict

    async def _break(self, *, is_after: bool) -> None:
        fault = next((fault for fault in self.faults if fault.is_after == is_after), None)
        if fault is None:
            return
        self.faults.remove(fault)
        if fault.later:
            self.faults.append(Fault(fault.later - 1, is_after, fault.kind))
            return
        match fault.kind:
            case "another comes first":
                if self.overtake is not None:
                    await self.overtake()
            case "flushed":
                await self.lose_all()
            case "an older copy":
                await self.restore_copy()
            case "not whole":
                await self.redis.delete(GENERATION.complete)
            case "another leads":
                await self.redis.set(LEASE, "another", px=ANOTHER_LEADS_MS)
            case "cut":
                raise Cut(fault)

    # What must hold

    async def applied_versions(self) -> dict[str, int]:
        keys = [key.decode() async for key in self.redis.scan_iter(match=f"{_VERSIONS}*", count=1000)]
        values: list[Any] = await self.redis.mget(keys) if keys else []
        return {key.removeprefix(_VERSIONS): int(value) for key, value in zip(keys, values, strict=True)}

    async def is_fold_of_its_versions(self) -> None:
        """Every key says what the events say up to the versions that were applied, and none of these has gone back."""
        versions = await self.applied_versions()
        assert {s: v for s, v in self.versions.items() if versions.get(s, 0) < v} == {}
        self.versions = versions
        told = Log()
        told.events = [event for event in self.log.events if event.version <= versions.get(event.stream_id, 0)]
        for partition, position in enumerate(await self._positions()):
            assert position >= max((event.position for event in told.of_partition(partition)), default=0)
        await self._says_the_truth_of_itself(versions)
        found, wanted = await dump(self.redis), expected(told)
        assert {k: (found.get(k), wanted.get(k)) for k in {*found, *wanted} if found.get(k) != wanted.get(k)} == {}

    async def _says_the_truth_of_itself(self, versions: dict[str, int]) -> None:
        keys = (GENERATION.complete, GENERATION.schema, GENERATION.checkpoint)
        complete, schema, checkpoint = await self.redis.mget(keys)
        assert complete in (None, schema), "marked by somebody who did not begin it"
        behind = [event for event in self.log.events if event.position <= int(checkpoint or 0)]
        assert [event.id for event in behind if versions.get(event.stream_id, 0) < event.version] == []

    async def _positions(self) -> list[int]:
        values: list[Any] = await self.redis.mget([GENERATION.applied(partition) for partition in range(PARTITIONS)])
        return [int(value.split()[0]) if value else 0 for value in values]

    async def is_level(self) -> bool:
        versions = await self.applied_versions()
        heads = {event.stream_id: event.version for event in self.log.events}
        return bool(await self.redis.exists(GENERATION.complete)) and versions == heads


def _writes_versions(request: Request) -> bool:
    return any(str(argument).startswith(_VERSIONS) for command in request.commands for argument in command[1::2])


def break_scripts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, every script of a projector runs through `world`."""
    really = CompareAndApply.__call__

    async def run_script(script: CompareAndApply, request: Request) -> Verdict:
        return await world.run_script(script, request, really)

    monkeypatch.setattr(CompareAndApply, "__call__", run_script)
