"""What Redis keeps of a rebuild: where it began, how far each partition is, and in the end that all is there."""

import time
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from contracts.keys import READ_MODEL, Generation
from projector.projections.indexing import Argument
from projector.script import CompareAndApply, Guard, Request, Verdict, mset
from projector.store import GuardLost

_END: Final = "*"


@dataclass(frozen=True, slots=True)
class Done:
    """How far a partition is."""

    events: int = 0
    last: str = ""
    """The id of the last event that was applied; empty at the beginning."""

    @property
    def is_all(self) -> bool:
        return self.last == _END

    @property
    def after(self) -> str | None:
        return self.last or None


@dataclass(frozen=True, slots=True)
class Stand:
    """One reading of a rebuild's state. `server` is the run id of the Redis that gave it."""

    server: str
    schema: str
    whole: bool
    begin: str
    """As it was written: ``"<position> <identity>"``; empty when it has not begun, or is finished."""
    said: tuple[str, ...]
    """As it was written, by partition."""

    @property
    def start(self) -> int:
        """The settled position before the first page was read."""
        return int(self.begin.split()[0]) if self.begin else 0

    @property
    def witness(self) -> str:
        """The identity of an event at or below `start`; empty when there is none."""
        return self.begin.partition(" ")[2]

    @property
    def done(self) -> tuple[Done, ...]:
        return tuple(_done(text) for text in self.said)

    @property
    def events(self) -> int:
        return sum(done.events for done in self.done)

    @property
    def is_all(self) -> bool:
        return all(done.is_all for done in self.done)


class Course:
    """Every method that writes raises `GuardLost` when the lease, the server or the state is another by now.

    What is read counts only while the same Redis process runs, as for the walk: see decisions/0002.
    """

    def __init__(self, redis: Redis, generation: Generation, partitions: int, currency: str) -> None:
        self._redis = redis
        self._script = CompareAndApply(redis)
        self._partitions = partitions
        self._currency = currency
        self.generation = generation

    async def stand(self) -> Stand:
        generation = self.generation
        keys = [generation.schema, generation.complete, generation.rebuilding]
        keys += [generation.rebuild(p) for p in range(self._partitions)]
        async with self._redis.pipeline(transaction=True) as together:
            together.mget(keys)
            together.info("server")
            values, server = await together.execute()
        texts = [(value or b"").decode() for value in values]
        schema, complete, begin, *said = texts
        return Stand(str(server["run_id"]), schema, bool(complete), begin, tuple(said))

    async def begin(self, start: int, witness: str, stand: Stand, guard: Guard) -> None:
        """The queues are bound, and the log was settled up to `start` after that."""
        generation = self.generation
        marks: list[tuple[str, Argument]] = [
            (generation.schema, READ_MODEL),
            (generation.rebuilding, f"{start} {witness}".rstrip()),
        ]
        await self._write([mset(marks)], [(generation.schema, ""), (generation.rebuilding, "")], stand, guard)

    async def advance(self, partition: int, before: Done, after: Done, stand: Stand, guard: Guard) -> None:
        """All of a partition up to `after` was applied."""
        key = self.generation.rebuild(partition)
        await self._write([["SET", key, _said(after)]], [(key, _said(before))], stand, guard)

    async def end(self, partition: int, done: Done, stand: Stand, guard: Guard) -> None:
        """All that the log had of a partition was applied."""
        await self.advance(partition, done, Done(done.events, _END), stand, guard)

    async def finish(self, stand: Stand, guard: Guard) -> None:
        """Marks the generation whole: its checkpoint is where the rebuild began, the rest is in the queues."""
        generation, numbers = self.generation, range(self._partitions)
        marks: list[tuple[str, Argument]] = [(generation.complete, READ_MODEL), (generation.currency, self._currency)]
        marks += [(generation.applied(p), f"{stand.start} {time.time():.3f}") for p in numbers]
        if stand.start:
            marks.append((generation.checkpoint, stand.start))
        if stand.witness:
            marks.append((generation.witness, stand.begin))
        keys = [generation.rebuilding, *map(generation.rebuild, numbers)]
        expected = [(generation.rebuilding, stand.begin), (generation.complete, "")]
        expected += zip(keys[1:], stand.said, strict=True)
        await self._write([mset(marks), ["DEL", *keys]], expected, stand, guard)

    async def _write(
        self, commands: list[list[Any]], expected: list[tuple[str, str]], stand: Stand, guard: Guard
    ) -> None:
        request = Request(guard=guard, server=stand.server, commands=commands, values=list(expected))
        if await self._script(request) is not Verdict.APPLIED:
            raise GuardLost


def _done(text: str) -> Done:
    events, _, last = text.partition(" ")
    return Done(int(events), last) if text else Done()


def _said(done: Done) -> str:
    return f"{done.events} {done.last}" if done.last else ""
