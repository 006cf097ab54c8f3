"""Lookups by key: those that are asked for while an `MGET` is under way are the next one.

So an idle service asks at once, and the busier it is, the more share a round trip: no timer, and at most one at a time
(decisions/0001-redis-py.md).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import Final

from prometheus_client import Histogram

from chassis.problems import Problem
from contracts.keys import LIVE, Generation
from query_service.problems import behind, unavailable
from query_service.read_model.generation import SWITCHES, LiveGeneration
from query_service.read_model.redis_client import Redis, RedisFault

KeysOf = Callable[[Generation], Sequence[str]]
Values = list[bytes | None]

_BATCH: Final = Histogram(
    "stockroom_query_lookups_per_mget",
    "Lookups that shared one MGET.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)


class Lookups:
    """Values of keys, all of one whole generation."""

    def __init__(self, redis: Redis, live: LiveGeneration) -> None:
        self._redis = redis
        self._live = live
        self._asked: list[tuple[asyncio.Future[Values], KeysOf]] = []
        self._reader: asyncio.Task[None] | None = None

    def get(self, keys_of: KeysOf) -> asyncio.Future[Values]:
        """The values of `keys_of(generation)`, in their order.

        Raises (when awaited):
            Problem: 503, Redis can't be reached or the read model is not whole.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Values] = loop.create_future()
        self._asked.append((future, keys_of))
        if self._reader is None:
            # In no request's context: it works for all, and what it logs is nobody's.
            self._reader = loop.create_task(self._read(), context=Context())
        return future

    async def _read(self) -> None:
        """One `MGET` after the other for as long as anybody asks."""
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                _BATCH.observe(len(asked))
                await self._answer(asked)
                await asyncio.sleep(0)  # who was answered goes on first, and perhaps asks more
        finally:
            self._reader = None

    async def _answer(self, asked: list[tuple[asyncio.Future[Values], KeysOf]]) -> None:
        try:
            values, ends = await self._fetch([keys_of for _, keys_of in asked])
        except Problem as problem:
            for future, _ in asked:
                if not future.done():  # each its own: an exception collects the tracebacks of all who raise it
                    future.set_exception(Problem(problem.kind, problem.detail, headers=problem.headers))
            return
        except Exception as error:  # a fault of ours: nobody may be left waiting for it
            for future, _ in asked:
                if not future.done():
                    future.set_exception(RuntimeError(f"lookup failed: {error!r}"))
            return
        start = 2
        for (future, _), end in zip(asked, ends, strict=True):
            if not future.done():
                future.set_result(values[start:end])
            start = end

    async def _fetch(self, asked: list[KeysOf]) -> tuple[Values, list[int]]:
        for _ in range(SWITCHES):
            generation = self._live.known
            keys = [LIVE, generation.complete]
            ends = []
            for keys_of in asked:
                keys += keys_of(generation)
                ends.append(len(keys))
            sent = monotonic()
            try:
                values: Values = await self._redis.call("MGET", *keys)
            except RedisFault:
                raise unavailable() from None
            if self._live.confirmed(generation, values[0], values[1], sent):
                return values, ends
        raise behind("The read model is being switched.")
