"""Hearing of what the projector has applied: one subscription a process wakes everybody who waits."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio import Redis as Client
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from chassis.logging import get_logger
from contracts.keys import APPLIED_CHANNEL
from query_service.read_model.redis_client import ANSWER_SECONDS

log = get_logger(__name__)

_CHANNEL: Final = APPLIED_CHANNEL.encode()
_PATTERN: Final = APPLIED_CHANNEL + "*"
_HEARTBEAT_SECONDS: Final = 5.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0


class Listener:
    """Wakes when one of its partitions was announced, or when announcements may have been missed."""

    def __init__(self, listeners: dict[int, set["Listener"]], partitions: Iterable[int]) -> None:
        self._listeners = listeners
        self._partitions = tuple(partitions)
        self._heard = asyncio.Event()

    def __enter__(self) -> "Listener":
        for partition in self._partitions:
            self._listeners.setdefault(partition, set()).add(self)
        return self

    def __exit__(self, *_: object) -> None:
        for partition in self._partitions:
            others = self._listeners[partition]
            others.discard(self)
            if not others:
                del self._listeners[partition]

    def forget(self) -> None:
        """What was heard so far is dealt with: to be called before the read that looks whether it sufficed."""
        self._heard.clear()

    def wake(self) -> None:
        self._heard.set()

    async def heard(self, deadline: float) -> bool:
        """Waits until something was heard; False when the deadline (of the event loop's clock) came first."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._heard.wait()
        except TimeoutError:
            return False
        return True


class Announcements:
    """The subscription to the projector's announcements. `run` keeps it up for as long as the process lives."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: dict[int, set[Listener]] = {}

    def listen(self, partitions: Iterable[int]) -> Listener:
        """To be entered before the first look, so that nothing is announced unheard in between."""
        return Listener(self._listeners, set(partitions))

    async def run(self) -> None:
        subscribing = AsyncRetrying(
            retry=retry_if_exception_type((RedisError, OSError)),
            wait=wait_random_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE),
        )
        while True:
            pubsub: PubSub = await subscribing.copy()(self._subscribe)
            try:
                await self._hear(pubsub)
            except (RedisError, OSError) as error:
                log.info("announcements_not_heard", error=type(error).__name__)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _subscribe(self) -> PubSub:
        """A subscription that Redis has confirmed."""
        pubsub = self._client.pubsub()
        try:
            await pubsub.psubscribe(_PATTERN)
            self._take(await _answer(pubsub))
        except BaseException:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            raise
        return pubsub

    async def _hear(self, pubsub: PubSub) -> None:
        """Never returns; raises `RedisError` when Redis hangs, or was lost and could not be had again at once."""
        while True:
            message = await pubsub.get_message(timeout=_HEARTBEAT_SECONDS)
            if message is None:  # redis-py's own health check would send this, but not miss the answer
                await pubsub.ping()
                message = await _answer(pubsub)
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "pmessage":
            partition = message["channel"].removeprefix(_CHANNEL)
            woken = self._listeners.get(int(partition), ()) if partition.isdigit() else ()
        elif message["type"] == "psubscribe":
            # Perhaps again, by redis-py after a lost connection: what was announced in between was not heard.
            woken = {listener for listeners in self._listeners.values() for listener in listeners}
        else:
            return
        for listener in woken:
            listener.wake()


async def _answer(pubsub: PubSub) -> dict[str, Any]:
    message: dict[str, Any] | None = await pubsub.get_message(timeout=ANSWER_SECONDS)
    if message is None:
        raise NoAnswer
    return message
