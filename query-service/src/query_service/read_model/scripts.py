"""Scripts that only read: those that are asked for while others are under way share a round trip.

So an idle service asks at once, and the busier it is, the more go together: no timer. A command costs redis-py more
than a page costs Redis, and much of it only once for all that are sent together (decisions/0001-redis-py.md).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from hashlib import sha1
from importlib import resources
from typing import Any, Final, cast

from prometheus_client import Histogram

from query_service.problems import unavailable
from query_service.read_model.redis_client import Redis, RedisFault, Reply, UnknownScript, Unreachable

AT_ONCE: Final = 2
"""Round trips under way: Redis works on one while the other is made or read."""

TOGETHER: Final = 8
"""Scripts of a round trip: nobody else is served by Redis meanwhile, nor before them all is any of them answered."""

_BATCH: Final = Histogram(
    "stockroom_query_scripts_per_round_trip",
    "Scripts that shared one round trip.",
    buckets=(1, 2, 4, TOGETHER),
)

Arguments = Sequence[str | bytes | int]


class Script:
    """A Lua script that only reads. It is run by its digest, and sent whole where Redis does not know it yet."""

    def __init__(self, name: str) -> None:
        here = resources.files(__package__)
        self.text = here.joinpath("guard.lua").read_text() + here.joinpath(name).read_text()
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


Asked = tuple[asyncio.Future[list[Any]], Script, Arguments]


class Scripts:
    """Runs scripts at one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asked: deque[Asked] = deque()
        self._runners: set[asyncio.Task[None]] = set()

    def run(self, script: Script, arguments: Arguments) -> asyncio.Future[list[Any]]:
        """What it answers. `arguments` are the number of keys, the keys, and what else it is given.

        Raises (when awaited):
            Problem: 503, Redis can't be reached.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._asked.append((future, script, arguments))
        if len(self._runners) < AT_ONCE:
            # In no request's context: it works for all, and what it logs is nobody's.
            self._runners.add(loop.create_task(self._run(), context=Context()))
        return future

    async def _run(self) -> None:
        """One round trip after the other for as long as anybody asks."""
        try:
            while batch := self._next():
                _BATCH.observe(len(batch))
                await self._answer(batch)
                await asyncio.sleep(0)  # who was answered goes on first, and perhaps asks more
        finally:
            # Not when the task is done, a turn later: what is asked in between would have nobody.
            self._runners.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next(self) -> list[Asked]:
        batch: list[Asked] = []
        while self._asked and len(batch) < TOGETHER:
            asked = self._asked.popleft()
            if not asked[0].done():  # else nobody waits for it any more
                batch.append(asked)
        return batch

    async def _answer(self, batch: Sequence[Asked]) -> None:
        try:
            replies = await self._replies(batch)
        except Exception as error:  # a fault of ours: nobody may be left waiting for it
            for future, _, _ in batch:
                if not future.done():
                    fault = RuntimeError("a script could not be run")
                    fault.__cause__ = error
                    future.set_exception(fault)
            return
        if all(isinstance(reply, Unreachable) for reply in replies):
            # Those who wait have waited as long: a Redis that hangs must not be waited for by one after the other.
            batch = [*batch, *self._asked]
            replies += [replies[0]] * len(self._asked)
            self._asked.clear()
        for (future, _, _), reply in zip(batch, replies, strict=True):
            if not future.done():
                _tell(future, reply)

    async def _replies(self, batch: Sequence[Asked]) -> list[Reply]:
        replies = await self._redis.together([("EVALSHA_RO", each.digest, *rest) for _, each, rest in batch])
        unknown = [number for number, reply in enumerate(replies) if isinstance(reply, UnknownScript)]
        if unknown:
            asked = [batch[number] for number in unknown]
            whole = await self._redis.together([("EVAL_RO", each.text, *rest) for _, each, rest in asked])
            for number, reply in zip(unknown, whole, strict=True):
                replies[number] = reply
        return replies


def _tell(future: asyncio.Future[list[Any]], reply: Reply) -> None:
    if isinstance(reply, RedisFault):
        future.set_exception(unavailable())
    else:
        future.set_result(reply)
