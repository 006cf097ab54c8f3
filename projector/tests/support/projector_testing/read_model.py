"""What stands in Redis, in the form in which the tests compare it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from projector_testing.shop import GENERATION, Log, expected

DEADLINE = 60.0
"""Seconds after which a condition that never came true fails its test."""

_BOOKKEEPING = ("applied:", "checkpoint", "complete", "walk", "parked")


async def dump(redis: Redis) -> dict[str, Any]:
    """Every document, version and index entry; not the projector's own bookkeeping. Counts of zero are left out."""
    found: dict[str, Any] = {}
    async for raw in redis.scan_iter(match=f"{GENERATION.prefix}*", count=1000):
        key = raw.decode()
        if key.removeprefix(GENERATION.prefix).startswith(_BOOKKEEPING):
            continue
        kind = await redis.type(key)
        if kind == b"zset":
            found[key] = set(await redis.zrange(key, 0, -1))
        elif kind == b"hash":
            counts = await redis.hgetall(key)
            found[key] = {category: count for category, count in counts.items() if count != b"0"}
        else:
            found[key] = await redis.get(key)
    return {key: value for key, value in found.items() if value}


async def equals_log(redis: Redis, log: Log) -> bool:
    return await dump(redis) == expected(log)


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


async def becomes_level(redis: Redis, log: Log) -> None:
    """Waits until the generation is whole and the read model is what the log says."""

    async def level() -> bool:
        return bool(await redis.exists(GENERATION.complete)) and await equals_log(redis, log)

    try:
        await eventually(level, "the read model equals the log")
    except AssertionError:
        found, wanted = await dump(redis), expected(log)
        differing = [k for k in {*found, *wanted} if found.get(k) != wanted.get(k)]
        raise AssertionError(f"the read model differs from the log: {sorted(differing)[:10]}") from None
