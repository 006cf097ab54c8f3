"""Leases: one instance at a time leads the walk, one rebuilds. Two would be harmless, because of the gates.

Each time it is taken it has a new token, so that a leader whose lease was lost, by a flush for instance, can't mistake
a later one for its own: the scripts that it sends compare the token.
"""

import asyncio
from typing import Final

from redis.asyncio import Redis

from chassis.ids import new_id
from projector.redis_client import UNREACHABLE
from projector.script import CompareAndApply, Guard, Request, Verdict

EXPIRES_MS: Final = 3_000
RENEWED_SECONDS: Final = 1.0


class Lease:
    def __init__(self, redis: Redis, key: str, token: str | None = None) -> None:
        """With a `token`, one that was taken in another process."""
        self._redis = redis
        self._script = CompareAndApply(redis)
        self._key = key
        self._token = token
        self._resigned = False

    @property
    def held(self) -> bool:
        """Whether it was ours when last looked at; scripts guarded by `guard` know for sure."""
        return self._token is not None

    @property
    def token(self) -> str:
        return self._token or "none"

    @property
    def guard(self) -> Guard:
        return ((self._key, self.token),)

    async def take(self) -> bool:
        """Whether this instance leads now: takes the lease if it is free."""
        if self._resigned:
            return False
        if self._token is None or not await self._renew():
            token = new_id()
            taken = await self._redis.set(self._key, token, nx=True, px=EXPIRES_MS)
            self._token = token if taken else None
        return self.held

    async def keep(self) -> None:
        """Renews the lease as long as it is ours; runs for ever, beside the work."""
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            if self._token is not None:
                try:
                    await self._renew()
                except UNREACHABLE:
                    self._token = None

    async def release(self) -> None:
        """Lets another instance take it at once."""
        if self._token is not None:
            await self._script(Request(guard=self.guard, commands=[["DEL", self._key]]))
            self._token = None

    async def resign(self) -> None:
        """Releases it, and never takes it again."""
        self._resigned = True
        await self.release()

    async def is_taken(self) -> bool:
        """Whether anybody has it."""
        return bool(await self._redis.exists(self._key))

    async def _renew(self) -> bool:
        verdict = await self._script(Request(guard=self.guard, commands=[["PEXPIRE", self._key, EXPIRES_MS]]))
        if verdict is not Verdict.APPLIED:
            self._token = None
        return self.held
