"""Keeps every generation of the read model level that may be read, each by a pipeline of its own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from chassis.logging import get_logger
from chassis.tasks import end
from contracts.keys import READ_MODEL, Generation
from projector import metrics
from projector.feed import FeedUnavailable, Registry
from projector.pipeline import Pipeline
from projector.pointer import Pointer
from projector.progress import AnotherVersion
from projector.redis_client import UNREACHABLE
from projector.walk import PASSING
from projector.witness import AnotherLog

log = get_logger(__name__)


@dataclass(slots=True)
class _Running:
    pipeline: Pipeline
    task: "asyncio.Task[None]"


class Generations:
    """Runs the pipelines of the generations that Postgres names, and lets the pointer follow it.

    A pipeline that fails is begun again with the next look at the register, and hurts no other.
    """

    def __init__(self, redis: Redis, pointer: Pointer, build: Callable[[int], Pipeline], interval: float) -> None:
        self._redis = redis
        self._pointer = pointer
        self._build = build
        self._interval = interval
        self._running: dict[int, _Running] = {}
        self._failures: dict[int, BaseException] = {}
        self._live: int | None = None

    @property
    def live(self) -> Pipeline | None:
        """The pipeline of the generation that is to be read."""
        running = self._running.get(self._live) if self._live is not None else None
        return running.pipeline if running else None

    @property
    def failure(self) -> BaseException | None:
        """Why the live generation is not worked on; None while it is, or nothing has gone wrong."""
        pipeline = self.live
        if self._live is None or (pipeline is not None and pipeline.started):
            return None
        return self._failures.get(self._live)

    async def run(self) -> None:
        """Looks at the register for ever."""
        try:
            while True:
                try:
                    await self._look()
                except (*UNREACHABLE, FeedUnavailable) as error:
                    log.warning("generations_unknown", reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(self._interval)
        finally:
            await end(*(running.task for running in self._running.values()))

    async def _look(self) -> None:
        registry = await self._pointer.follow()
        self._live = registry.live
        metrics.LIVE.set(registry.live)
        metrics.BUILDING.set(registry.building or 0)
        wanted = await self._wanted(registry)
        for number in self._running.keys() - wanted:
            running = self._running.pop(number)
            self._failures.pop(number, None)
            log.info("generation_ends", generation=number)
            await end(running.task)
            metrics.ended(number)
        for number in sorted(wanted):
            self._keep(number)

    async def _wanted(self, registry: Registry) -> set[int]:
        """What is live or kept; and what is being built, as soon as it is whole: it must be level when it is read."""
        wanted = {g.number for g in registry.generations if g.status != "building"}
        building = registry.building
        if building is not None and await self._redis.get(Generation(building).complete) == str(READ_MODEL).encode():
            wanted.add(building)
        return wanted

    def _keep(self, number: int) -> None:
        running = self._running.get(number)
        if running is not None and not running.task.done():
            return
        pipeline = self._build(number)
        task = asyncio.create_task(pipeline.run())
        task.add_done_callback(lambda ended: self._ended(number, ended))
        self._running[number] = _Running(pipeline, task)

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        before, self._failures[number] = self._failures.get(number), error
        if repr(before) != repr(error):
            _tell(number, error)


def _tell(number: int, error: BaseException) -> None:
    """Once for each change."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, AnotherLog):
        runbook = "deploy/RUNBOOKS.md, 'Postgres was restored from a backup'"
        log.critical("log_is_another", generation=number, reason=str(error), runbook=runbook)
    elif isinstance(error, AnotherVersion):
        log.error("generation_of_another_version", generation=number, reason=str(error))
    elif isinstance(error, PASSING):
        log.warning("generation_waits", generation=number, reason=reason)
    else:
        log.critical("generation_failed", generation=number, exc_info=error)
