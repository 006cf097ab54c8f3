"""The generations, as Postgres and Redis know them."""

from dataclasses import dataclass

from redis.asyncio import Redis

from contracts.keys import Generation
from projector.feed import Feed, Registered
from projector.pointer import Pointer
from projector.progress import Progress, Standing


@dataclass(frozen=True, slots=True)
class Listed:
    """One generation; `lag` counts positions of the log behind the checkpoint."""

    registered: Registered
    standing: Standing
    is_read: bool
    lag: int

    def row(self) -> list[str]:
        standing, registered = self.standing, self.registered
        return [
            f"{registered.number}{' *' if self.is_read else ''}",
            registered.status,
            standing.schema or "-",
            "yes" if standing.whole else "no",
            str(sum(standing.parked)),
            str(standing.checkpoint),
            str(self.lag),
        ]


COLUMNS = ("number", "status", "version", "whole", "parked keys", "checkpoint", "lag")


async def listed(redis: Redis, feed: Feed) -> list[Listed]:
    """Raises `FeedUnavailable`, or what Redis raises, when they can't be told."""
    system = await feed.system()
    registry, settled = await feed.generations(), await feed.settled()
    read = await Pointer(redis, feed).number()
    found = []
    for registered in registry.generations:
        generation = Generation(registered.number)
        standing = await Progress(redis, generation, system.partitions, system.currency).standing()
        lag = max(0, settled - standing.checkpoint)
        found.append(Listed(registered, standing, registered.number == read, lag))
    return found
