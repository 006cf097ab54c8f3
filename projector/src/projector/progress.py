"""What the read model says of itself: whether it is whole, how far it is, and which versions it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from contracts.keys import READ_MODEL, Generation
from projector.projections.indexing import Argument
from projector.script import CompareAndApply, Guard, Request, Verdict, mset
from projector.store import GuardLost

_PARKED_PAGE: Final = 100
_NO_SCHEMA: Final = "0"
"""Of a generation that was made before generations said who had made them."""


class AnotherVersion(Exception):
    """The generation was made by code that writes other documents: this code must not write into it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One reading of a generation's state. `server` is the run id of the Redis that gave it."""

    server: str
    schema: str
    """The `READ_MODEL` of the code that began the generation; empty when there is nothing of it at all."""
    whole: bool
    checkpoint: int
    witness: str
    """The identity of an event at or below the checkpoint; empty when none is known."""
    applied: tuple[int, ...]
    """The highest position applied, by partition."""
    latest: tuple[str, ...]
    """The identities of the last events applied behind the checkpoint, at most one a partition."""
    parked: tuple[int, ...]
    """How many keys are parked, by partition."""

    @property
    def is_new(self) -> bool:
        return not self.schema

    @property
    def known_events(self) -> tuple[str, ...]:
        """The identities of events that the log must have."""
        return (self.witness, *self.latest) if self.witness else self.latest


class Progress:
    """Reads and moves a generation's marker and checkpoint."""

    def __init__(self, redis: Redis, generation: Generation, partitions: int, currency: str) -> None:
        self._redis = redis
        self._script = CompareAndApply(redis)
        self.generation = generation
        self.partitions = partitions
        self._currency = currency

    @property
    def ours(self) -> Guard:
        """The guard of whoever writes: the generation is this code's."""
        return ((self.generation.schema, str(READ_MODEL)),)

    @property
    def whole(self) -> Guard:
        """The guard of whoever writes only while the generation is whole."""
        return ((self.generation.complete, str(READ_MODEL)),)

    async def standing(self) -> Standing:
        generation, numbers = self.generation, range(self.partitions)
        keys = [generation.schema, generation.complete, generation.checkpoint, generation.witness]
        keys += [generation.applied(p) for p in numbers]
        keys += [generation.parked_in(p) for p in numbers]
        async with self._redis.pipeline(transaction=True) as together:
            together.mget(keys)
            together.info("server")
            values, server = await together.execute()
        texts = [(value or b"").decode() for value in values]
        schema, complete, checkpoint, witness = texts[:4]
        applied = [text.split() for text in texts[4 : 4 + self.partitions]]
        position = int(checkpoint or 0)
        return Standing(
            server=str(server["run_id"]),
            schema=schema or (_NO_SCHEMA if complete or checkpoint or any(applied) else ""),
            whole=complete == str(READ_MODEL),
            checkpoint=position,
            witness=witness.partition(" ")[2],
            applied=tuple(int(said[0]) if said else 0 for said in applied),
            latest=tuple(said[2] for said in applied if len(said) == 3 and int(said[0]) > position),
            parked=tuple(int(text or 0) for text in texts[4 + self.partitions :]),
        )

    async def is_whole(self) -> bool:
        return bool(await self._redis.get(self.generation.complete) == str(READ_MODEL).encode())

    async def versions(self, streams: Sequence[str]) -> list[int]:
        """The version that each stream is applied up to."""
        if not streams:
            return []
        return [int(v or 0) for v in await self._redis.mget([self.generation.version(s) for s in streams])]

    async def checkpoint(self) -> int:
        return int(await self._redis.get(self.generation.checkpoint) or 0)

    async def parked(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The records of those keys that are parked."""
        if not keys:
            return {}
        records: list[Any] = await self._redis.hmget(self.generation.parked, list(keys))
        return {key: record for key, record in zip(keys, records, strict=True) if record is not None}

    async def parked_page(self, cursor: int) -> tuple[int, dict[str, bytes]]:
        """Some of the parked keys, and where to go on; 0 is the beginning and the end."""
        answer: tuple[int, Any] = await self._redis.hscan(self.generation.parked, cursor, count=_PARKED_PAGE)
        cursor, page = answer
        return int(cursor), {key.decode(): record for key, record in page.items()}

    async def begin(self, guard: Guard) -> None:
        """Says which code makes this generation, before anything else of it is written. Raises `GuardLost`."""
        generation = self.generation
        request = Request(guard=guard, commands=[["SET", generation.schema, READ_MODEL]])
        request.values = [(generation.schema, ""), (generation.complete, ""), (generation.checkpoint, "")]
        if await self._script(request) is not Verdict.APPLIED:
            raise GuardLost

    async def move_checkpoint(self, before: int, after: int, witness: str, server: str, guard: Guard) -> None:
        """Everything up to `after` was found applied in the Redis with run id `server`.

        `witness` is the identity of the last event there; when it is empty, the one before stays.

        Raises:
            GuardLost: the lease, the marker, the checkpoint or the server is another by now; nothing was written.
        """
        marks: list[tuple[str, Argument]] = [(self.generation.checkpoint, after)]
        if witness:
            marks.append((self.generation.witness, f"{after} {witness}"))
        await self._write([mset(marks)], before, server, guard)

    async def mark_whole(self, checkpoint: int, server: str, guard: Guard) -> None:
        """Nothing is missing up to `checkpoint`, so reads may begin. Raises as `move_checkpoint` does."""
        generation = self.generation
        marks: list[tuple[str, Argument]] = [
            (generation.complete, READ_MODEL),
            (generation.currency, self._currency),
        ]
        await self._write([mset(marks)], checkpoint, server, guard)

    async def mark_broken(self, guard: Guard) -> None:
        """What was applied is gone, or is not what the log says: no reads until the walk has repaired it."""
        if await self._script(Request(guard=guard, commands=[["DEL", self.generation.complete]])) < 0:
            raise GuardLost

    async def _write(self, commands: list[list[Any]], checkpoint: int, server: str, guard: Guard) -> None:
        key = self.generation.checkpoint
        request = Request(guard=guard, server=server, commands=commands, values=[(key, checkpoint or "")])
        if await self._script(request) is not Verdict.APPLIED:
            raise GuardLost
