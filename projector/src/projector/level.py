"""Whether a generation is level with the log: its walk has found everything applied that is settled now."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis

from contracts.keys import Generation
from projector.feed import Feed

_PAUSE: Final = 0.2


class NotLevel(Exception):
    """The text says what is missing."""


async def becomes_level(
    redis: Redis, feed: Feed, generation: Generation, seconds: float, on_lag: Callable[[int], None] = lambda lag: None
) -> None:
    """Waits until the walk has come to where the log is now; `on_lag` hears how many positions it is behind.

    Raises:
        NotLevel: it has not come so far in `seconds`, or the generation is not whole.
        FeedUnavailable, redis.exceptions.RedisError, OSError: it can't be told.
    """
    until = time.monotonic() + seconds
    target = await feed.settled()
    while True:
        values: list[Any] = await redis.mget(generation.complete, generation.checkpoint)
        whole, checkpoint = values[0] is not None, int(values[1] or 0)
        lag = max(0, target - checkpoint)
        on_lag(lag)
        if whole and not lag:
            return
        if time.monotonic() > until:
            behind = f"is {lag} positions behind the log" if whole else "is not whole"
            raise NotLevel(f"generation {generation.number} {behind}")
        await asyncio.sleep(_PAUSE)
