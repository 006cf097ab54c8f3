"""Removes a generation that nobody wants any more: from the register, the broker and Redis, in this order.

Interrupted anywhere, it can be done again.
"""

import asyncio
import time
from typing import Any, Final

from redis.asyncio import Redis

from contracts.keys import Generation
from projector.feed import Feed, Refused
from projector.pointer import Pointer
from projector.queues import Queues

LEAVE_SECONDS: Final = 30.0
_PAUSE: Final = 0.2
_STEP: Final = 1_000
"""Keys that one command to Redis looks at, or unlinks."""

_DROPPED: Final = "dropped"
"""As a schema it is nobody's: no walk and no consumer writes into the generation any more."""


async def drop(redis: Redis, feed: Feed, queues: Queues, generation: Generation) -> int:
    """How many keys were removed from Redis.

    Raises:
        Refused: it is live, or read, or there is nothing of it; or somebody works on it still.
        FeedUnavailable, chassis.consumer.BROKER_LOST, redis.exceptions.RedisError: what is left is for the next time.
    """
    number = generation.number
    registered = (await feed.generations()).status(number) is not None
    if await Pointer(redis, feed).number() == number and registered:
        raise Refused(f"generation {number} is read just now")
    if registered:
        await feed.drop(number)
    elif not (await _has_keys(redis, generation) or await queues.exist()):
        raise Refused(f"there is no generation {number}")
    await redis.set(generation.schema, _DROPPED)
    await redis.delete(generation.complete)
    await _left_alone(queues, number)
    await queues.delete()
    removed = await _unlink_all(redis, generation)
    return removed + int(await redis.unlink(generation.schema))


async def _has_keys(redis: Redis, generation: Generation) -> bool:
    """Whether a drop of it was begun, or something was made of it."""
    return bool(await redis.exists(generation.schema, generation.complete, generation.checkpoint))


async def _left_alone(queues: Queues, number: int) -> None:
    """Waits until no projector consumes the generation's queues: it would declare them again."""
    until = time.monotonic() + LEAVE_SECONDS
    while any(await queues.consumers()):
        if time.monotonic() > until:
            raise Refused(f"a projector still works on generation {number}: drop it again when it has stopped")
        await asyncio.sleep(_PAUSE)


async def _unlink_all(redis: Redis, generation: Generation) -> int:
    """All keys of the generation but its schema, a thousand at a time: Redis serves others in between."""
    removed, cursor = 0, 0
    while True:
        answer: Any = await redis.scan(cursor, match=f"{generation.prefix}*", count=_STEP)
        cursor, keys = int(answer[0]), [key for key in answer[1] if key != generation.schema.encode()]
        if keys:
            removed += int(await redis.unlink(*keys))
        if cursor == 0:
            return removed
