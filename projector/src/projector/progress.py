"""What the read model says of itself: whether it is whole, how far it is, and which versions it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from contracts.keys import LIVE, Generation
from projector.script import CompareAndApply, Guard, Request, Verdict
from projector.store import GuardLost

_PARKED_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """One reading of a generation's state. `server` is the run id of the Redis that gave it."""

    server: str
    live: bool
    whole: bool
    checkpoint: int
    applied: tuple[int, ...]
    """The highest position applied, by partition."""
    parked: tuple[int, ...]
    """How many keys are parked, by partition."""


class Progress:
    """Reads and moves a generation's marker and checkpoint."""

    def __init__(self, redis: Redis, generation: Generation, partitions: int) -> None:
        self._redis = redis
        self._script = CompareAndApply(redis)
        self.generation = generation
        self.partitions = partitions

    async def standing(self) -> Standing:
        generation, numbers = self.generation, range(self.partitions)
        keys = [LIVE, generation.complete, generation.checkpoint]
        keys += [generation.applied(p) for p in numbers]
        keys += [generation.parked_in(p) for p in numbers]
        async with self._redis.pipeline(transaction=True) as together:
            together.mget(keys)
            together.info("server")
            values, server = await together.execute()
        applied, parked = values[3 : 3 + self.partitions], values[3 + self.partitions :]
        return Standing(
            server=str(server["run_id"]),
            live=values[0] is not None,
            whole=values[1] is not None,
            checkpoint=int(values[2] or 0),
            applied=tuple(int(v.split()[0]) if v else 0 for v in applied),
            parked=tuple(int(v or 0) for v in parked),
        )

    async def is_whole(self) -> bool:
        return bool(await self._redis.exists(self.generation.complete))

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

    async def point_live_here(self) -> None:
        """After a flush, or at the very first start, this generation is the one that is read."""
        await self._redis.set(LIVE, self.generation.number, nx=True)

    async def move_checkpoint(self, before: int, after: int, server: str, guard: Guard) -> None:
        """Everything up to `after` was found applied in the Redis with run id `server`.

        Raises:
            GuardLost: the lease, the marker, the checkpoint or the server is another by now; nothing was written.
        """
        await self._write([["SET", self.generation.checkpoint, after]], before, server, guard)

    async def mark_whole(self, checkpoint: int, server: str, guard: Guard) -> None:
        """Nothing is missing up to `checkpoint`, so reads may begin. Raises as `move_checkpoint` does."""
        await self._write([["SET", self.generation.complete, checkpoint]], checkpoint, server, guard)

    async def mark_broken(self, guard: Guard) -> None:
        """Something that was applied is gone: no reads until the walk has repaired it."""
        if await self._script(Request(guard=guard, commands=[["DEL", self.generation.complete]])) < 0:
            raise GuardLost

    async def _write(self, commands: list[list[Any]], checkpoint: int, server: str, guard: Guard) -> None:
        key = self.generation.checkpoint
        request = Request(guard=guard, server=server, commands=commands, values=[(key, checkpoint or "")])
        if await self._script(request) is not Verdict.APPLIED:
            raise GuardLost
