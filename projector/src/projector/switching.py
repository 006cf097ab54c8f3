"""Goes back to a generation that was kept."""

from typing import Final

from contracts.keys import Generation
from projector.connections import Connections
from projector.feed import Refused
from projector.level import NotLevel, becomes_level
from projector.pointer import Pointer

LEVEL_SECONDS: Final = 10.0
"""A generation that is kept level is found so within a few walks."""


async def switch(connections: Connections, number: int) -> None:
    """Has queries read a generation that is whole and level.

    Raises:
        Refused: it is not, or there is no such generation.
        FeedUnavailable, redis.exceptions.RedisError, OSError: a server can't be reached.
    """
    redis, feed = connections.redis, connections.feed
    status = (await feed.generations()).status(number)
    if status is None:
        raise Refused(f"there is no generation {number}")
    if status == "building":
        raise Refused(f"generation {number} is being built: `projector rebuild` goes on and switches to it")
    if status == "kept":
        try:
            await becomes_level(redis, feed, Generation(number), LEVEL_SECONDS)
        except NotLevel as error:
            raise Refused(f"{error}: is a projector of its version running?") from None
        await feed.switch(number)
    await Pointer(redis, feed).follow()
