"""The rebuild, from the register to the switch. Each step can be done again, and so the whole can."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from chassis.consumer import BROKER_LOST
from chassis.logging import get_logger
from chassis.persisting import persist
from chassis.tasks import end
from contracts.keys import READ_MODEL, Generation
from projector import pipeline, witness
from projector.connections import Connections
from projector.dropping import drop
from projector.feed import Refused, System
from projector.lease import EXPIRES_MS, Lease
from projector.level import NotLevel, becomes_level
from projector.pipeline import Pipeline
from projector.pointer import Pointer
from projector.progress import AnotherVersion
from projector.queues import Queues
from projector.rebuilding import workers
from projector.rebuilding.course import Course, Stand
from projector.rebuilding.showing import Display
from projector.rebuilding.worker import LEASE
from projector.rebuilding.workers import WorkersStopped
from projector.redis_client import UNREACHABLE
from projector.verifying.verification import Verification
from projector.walk import PASSING
from projector.witness import AnotherLog

log = get_logger(__name__)

_PASSING: Final = (*PASSING, *BROKER_LOST, WorkersStopped)
_ANEW: Final = "`projector rebuild --abandon` drops what was begun, then begin anew"
_LOOKS_SECONDS: Final = 0.5
_LEVEL_SECONDS: Final = 60.0
_TAKEN_OVER_SECONDS: Final = 10.0


class Rebuild:
    """One rebuild at a time: whoever has the lease.

    Everything raises `Refused` with what to do, and whatever does not pass by itself; servers that are away are
    waited for.
    """

    def __init__(self, connections: Connections, system: System, display: Display) -> None:
        self._connections = connections
        self._redis, self._feed = connections.redis, connections.feed
        self._system = system
        self._display = display
        self._lease = Lease(connections.redis, LEASE)
        self._pipeline: Pipeline | None = None
        self._pointer = Pointer(connections.redis, connections.feed)

    async def run(self, worker_count: int, *, verify: bool) -> int:
        """Makes a generation and switches to it; its number. Goes on with one that was begun."""
        return await self._leading(lambda: self._run(worker_count, verify))

    async def abandon(self) -> int:
        """Drops the generation that is being built; its number."""
        return await self._leading(self._abandon)

    async def _leading(self, action: Callable[[], Awaitable[int]]) -> int:
        await persist(UNREACHABLE, self._begin_leading)
        keeping = asyncio.create_task(self._lease.keep())
        try:
            return await action()
        finally:
            await end(keeping)
            with suppress(*UNREACHABLE):
                await self._lease.release()

    async def _begin_leading(self) -> None:
        """The lease of a rebuild that was killed is gone after a moment; that of one that lives is not."""
        until = time.monotonic() + 2 * EXPIRES_MS / 1000
        while not await self._lease.take():
            if time.monotonic() > until:
                raise Refused("another rebuild is running")
            await asyncio.sleep(_LOOKS_SECONDS)

    async def _lead(self) -> None:
        if not await self._lease.take():
            raise Refused("another rebuild is running")

    async def _abandon(self) -> int:
        number = (await self._feed.generations()).building
        if number is None:
            raise Refused("no generation is being built")
        await drop(self._redis, self._feed, self._queues(number), Generation(number))
        return number

    async def _run(self, worker_count: int, verify: bool) -> int:
        number = await persist(_PASSING, self._register)
        generation = Generation(number)
        course = Course(self._redis, generation, self._system.partitions, self._system.currency)
        while not await persist(_PASSING, lambda: self._step(course, worker_count)):
            pass
        await self._take_over(generation, verify)
        return number

    async def _register(self) -> int:
        """The generation that is being built, or the next one."""
        building = (await self._feed.generations()).building
        if building is not None:
            self._display.say(f"continuing generation {building}")
            return building
        number = await self._feed.new_generation(await self._pointer.number() or 0)
        self._display.say(f"making generation {number}")
        return number

    async def _step(self, course: Course, worker_count: int) -> bool:
        """One step towards a whole generation; whether it is whole."""
        await self._lead()
        stand = await course.stand()
        await self._refuse_another(stand)
        if stand.whole:
            return True
        if not stand.begin:
            await self._begin(course, stand)
        elif stand.is_all:
            self._display.pages(stand.events, stand.start)
            await course.finish(stand, self._lease.guard)
        else:
            await self._page(course, stand, worker_count)
        return False

    async def _refuse_another(self, stand: Stand) -> None:
        if stand.schema not in ("", str(READ_MODEL)):
            made = f"it was begun by code that writes version {stand.schema} of the read model, not {READ_MODEL}"
            raise Refused(f"{made}: {_ANEW}")
        try:
            await witness.check(self._feed, [stand.witness] if stand.witness else [])
        except AnotherLog as error:
            raise Refused(f"{error}: {_ANEW}") from None

    async def _begin(self, course: Course, stand: Stand) -> None:
        """Binds the queues first, then looks at how far the log is: what comes later is in the queues."""
        await self._queues(course.generation.number).bind_anew()
        start, known = await witness.latest(self._feed)
        await course.begin(start, known, stand, self._lease.guard)

    async def _page(self, course: Course, stand: Stand, worker_count: int) -> None:
        self._display.pages(stand.events, stand.start)
        rest = [partition for partition, done in enumerate(stand.done) if not done.is_all]
        looking = asyncio.create_task(self._look(course))
        try:
            await workers.page(course.generation, rest, self._lease.token, worker_count)
        finally:
            await end(looking)

    async def _look(self, course: Course) -> None:
        while True:
            await asyncio.sleep(_LOOKS_SECONDS)
            try:
                stand = await course.stand()
            except UNREACHABLE:
                continue
            self._display.pages(stand.events, stand.start)

    async def _take_over(self, generation: Generation, verify: bool) -> None:
        """Keeps the generation level, also where no projector does yet, until it is switched to."""
        keeping = asyncio.create_task(self._keep_level(generation.number))
        working = asyncio.create_task(self._switch(generation, verify))
        try:
            await asyncio.wait((keeping, working), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                keeping.result()
            working.result()
        finally:
            await end(keeping, working)

    async def _keep_level(self, number: int) -> None:
        async def run() -> None:
            await self._connections.discards.refresh()
            self._pipeline = pipeline.build(self._connections, self._system, number)
            await self._pipeline.run()

        try:
            await persist(_PASSING, run)
        except (AnotherLog, AnotherVersion) as error:
            raise Refused(f"{error}: {_ANEW}") from None

    async def _switch(self, generation: Generation, verify: bool) -> None:
        number = generation.number
        await self._level(generation)
        if verify:
            self._display.say("comparing it with the log")
            await persist(_PASSING, lambda: self._compare(generation))
            await self._level(generation)
        await persist(_PASSING, lambda: self._feed.switch(number))
        await persist(_PASSING, self._pointer.follow)
        self._display.say(f"generation {number} is read now")
        await self._hand_over(number)

    async def _level(self, generation: Generation) -> None:
        async def level() -> None:
            await becomes_level(self._redis, self._feed, generation, _LEVEL_SECONDS, self._display.catches_up)

        await persist((*_PASSING, NotLevel), level)

    async def _compare(self, generation: Generation) -> None:
        await self._connections.discards.refresh()
        ids, partitions = self._connections.discards.ids, self._system.partitions
        differences = await Verification(self._redis, self._feed, generation, partitions, ids).run(self._display.say)
        if differences:
            raise Refused(
                f"generation {generation.number} differs from the log in {differences} places and is not switched to: "
                "`projector rebuild` compares it again, with --abandon it drops it"
            )

    async def _hand_over(self, number: int) -> None:
        """Waits until the walk of a projector leads: then its consumer is there too, and ours may go."""
        until = time.monotonic() + _TAKEN_OVER_SECONDS
        lease = self._pipeline.lease if self._pipeline is not None else None
        with suppress(*UNREACHABLE):
            while lease is not None:
                await lease.resign()
                if await lease.is_taken():
                    return
                if time.monotonic() > until:
                    break
                await asyncio.sleep(_LOOKS_SECONDS)
        self._display.say(f"no running projector keeps generation {number} level yet: start one")

    def _queues(self, number: int) -> Queues:
        return Queues(self._connections.settings.rabbitmq_url, number, self._system.partitions)
