"""What stands in Redis, in the form in which the tests compare it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from contracts.keys import Generation
from projector.rebuilding.worker import LEASE
from projector_testing.expectation import expected
from projector_testing.shop import GENERATION, Log

DEADLINE = 60.0
"""Seconds after which a condition that never came true fails its test."""

_BOOKKEEPING = ("applied:", "checkpoint", "complete", "currency", "walk", "parked", "schema", "witness", "rebuild")


_DUMP_ALL = """
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  all[#all + 1] = key
  all[#all + 1] = redis.call('DUMP', key)
end
return all
"""


async def copy_of(redis: Redis) -> dict[bytes, bytes]:
    """All that Redis holds at one moment, but for leases: these would have expired when a copy is restored."""
    answer: Any = await redis.eval(_DUMP_ALL, 0)  # type: ignore[misc]
    copy = dict(zip(answer[::2], answer[1::2], strict=True))
    return {key: value for key, value in copy.items() if not key.endswith((b"walk", LEASE.encode()))}


async def restore(redis: Redis, copy: dict[bytes, bytes]) -> None:
    """What a restored copy of Redis is like: all at once."""
    async with redis.pipeline(transaction=True) as together:
        together.flushall()
        for key, value in copy.items():
            together.restore(key, 0, value)  # type: ignore[no-untyped-call]
        await together.execute()


async def dump(redis: Redis, generation: Generation = GENERATION) -> dict[str, Any]:
    """Every key in the form of `expected`, as if it were of `GENERATION`; not the projector's own bookkeeping.

    Counts of zero are left out.
    """
    keys = [key.decode() async for key in redis.scan_iter(match=f"{generation.prefix}*", count=1000)]
    keys = [key for key in keys if not key.removeprefix(generation.prefix).startswith(_BOOKKEEPING)]
    async with redis.pipeline(transaction=False) as types:
        for key in keys:
            types.type(key)
        kinds = await types.execute()
    async with redis.pipeline(transaction=False) as reading:
        for key, kind in zip(keys, kinds, strict=True):
            match kind:
                case b"zset":
                    reading.zrange(key, 0, -1, withscores=True)
                case b"hash":
                    reading.hgetall(key)
                case _:
                    reading.get(key)
        values = await reading.execute()
    found = {
        GENERATION.prefix + key.removeprefix(generation.prefix): _comparable(value)
        for key, value in zip(keys, values, strict=True)
    }
    return {key: value for key, value in found.items() if value}


def _comparable(value: Any) -> Any:
    match value:
        case list():
            scores = dict(value)
            return scores if any(scores.values()) else set(scores)
        case dict():
            return {name: count for name, count in value.items() if count != b"0"}
        case _:
            return value


async def equals_log(redis: Redis, log: Log, generation: Generation = GENERATION) -> bool:
    return await dump(redis, generation) == expected(log)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Waits for a condition; a server that can't be reached meanwhile is waited for as well."""
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    if await condition():
                        return
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None


async def becomes_level(redis: Redis, log: Log, generation: Generation = GENERATION) -> None:
    """Waits until the generation is whole and the read model is what the log says."""

    async def level() -> bool:
        return bool(await redis.exists(generation.complete)) and await equals_log(redis, log, generation)

    try:
        await eventually(level, "the read model equals the log")
    except AssertionError:
        found, wanted = await dump(redis, generation), expected(log)
        differing = [k for k in {*found, *wanted} if found.get(k) != wanted.get(k)]
        raise AssertionError(f"the read model differs from the log: {sorted(differing)[:10]}") from None
