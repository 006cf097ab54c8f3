"""Which generation queries read: a key in Redis, which follows what Postgres says."""

from typing import Final, cast

from redis.asyncio import Redis

from chassis.logging import get_logger
from contracts.keys import LIVE, Generation
from projector.feed import Feed, Registry
from projector.script import CompareAndApply, Request, Verdict

log = get_logger(__name__)

_DIGITS: Final = 18


class Pointer:
    def __init__(self, redis: Redis, feed: Feed) -> None:
        self._redis = redis
        self._feed = feed
        self._script = CompareAndApply(redis)

    async def number(self) -> int | None:
        """The generation that is read; None when none is."""
        return _number(await self._value())

    async def follow(self) -> Registry:
        """Lets the pointer follow the register, and returns that.

        It leaves a generation that is kept level only for one that is whole; an absent pointer, and one to a
        generation that nobody keeps, is set at once.

        Raises:
            FeedUnavailable, redis.exceptions.RedisError, OSError: a server can't be reached.
        """
        # The pointer first: if it moves after this, it follows a newer register than the one read here.
        before = await self._value()
        registry = await self._feed.generations()
        pointed = _number(before)
        if pointed == registry.live:
            return registry
        request = Request(values=[(LIVE, before or b"")], commands=[["SET", LIVE, registry.live]])
        if pointed is not None and registry.status(pointed) is not None:
            request.guard = ((Generation(registry.live).complete, ""),)
        if await self._script(request) is Verdict.APPLIED:
            log.info("pointer_moved", before=pointed, generation=registry.live)
        return registry

    async def _value(self) -> bytes | None:
        return cast(bytes | None, await self._redis.get(LIVE))


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= _DIGITS else None
