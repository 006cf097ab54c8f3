"""When to believe a difference: what has not been applied yet gets time, and all else a second look."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from contracts.keys import Generation
from projector.verifying.findings import Problem
from projector.verifying.reading import Reader, number, position_of

PATIENCE: Final = 30.0
"""Seconds without any progress of a partition after which nothing more is expected of it."""

LOOKS_AGAIN: Final = 2
"""Each reading is exact, but for an event that was lost and healed, or redriven, in the midst of one."""

_PAUSE: Final = 0.02


@dataclass(slots=True)
class _Stand:
    """What must move if a missing event is to come, and since when it has not."""

    at: int = -1
    since: float = 0.0


class Patience:
    def __init__(self, reader: Reader, seconds: float) -> None:
        self._redis = reader.redis
        self._generation: Generation = reader.generation
        self.seconds = seconds
        self._given_up: dict[int, tuple[int, int]] = {}
        """Partition → checkpoint and applied position at which it was waited for in vain."""

    async def insist(
        self, partition: int, look: Callable[[], Awaitable[list[Problem]]], again: int = LOOKS_AGAIN
    ) -> list[Problem]:
        """What `look` finds once all has come that may come, and in so many further looks."""
        stand = _Stand()
        while problems := await look():
            missing = max(problem.missing for problem in problems)
            if not (missing and await self._may_come(partition, missing, stand)):
                if again == 0:
                    return problems
                again -= 1
            await asyncio.sleep(_PAUSE)
        return []

    async def _may_come(self, partition: int, position: int, stand: _Stand) -> bool:
        """Whether an event that is missing in Redis may still be applied by itself."""
        keys = [self._generation.checkpoint, self._generation.applied(partition)]
        values: list[Any] = await self._redis.mget(keys)
        checkpoint, applied = number(values[0]), position_of(values[1])
        if checkpoint >= position or self._given_up.get(partition) == (checkpoint, applied):
            return False
        # The queues are behind it, or have left it out: then the walk will find it, before the checkpoint passes it.
        at = applied if applied < position else checkpoint
        now = time.monotonic()
        if at != stand.at:
            stand.at, stand.since = at, now
        elif now - stand.since > self.seconds:
            self._given_up[partition] = (checkpoint, applied)
            return False
        return True
