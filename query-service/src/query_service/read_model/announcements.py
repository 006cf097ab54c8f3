"""Hearing of what the projector has applied: one subscription a process wakes everybody who waits.

It also keeps the image right, which is told of every document that was written, and when that can't be heard.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final

from redis.asyncio import Redis as Client
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from chassis.logging import get_logger
from contracts.keys import APPLIED_CHANNEL, announced
from query_service.read_model.image import Image
from query_service.read_model.redis_client import ANSWER_SECONDS

log = get_logger(__name__)

_CHANNEL: Final = APPLIED_CHANNEL.encode()
_PATTERN: Final = APPLIED_CHANNEL + "*"
_HEARTBEAT_SECONDS: Final = 0.2
"""Well below `image.HEARD_SECONDS`."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_SHORTEST_WAIT: Final = 0.001


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
    """The subscription to the projector's announcements. `run` keeps it up for as long as the process lives.

    `client` must not make a lost connection anew by itself, or announcements would be missed unnoticed.
    """

    def __init__(self, client: Client, image: Image) -> None:
        self._client = client
        self._image = image
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
                self._image.deaf()
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _subscribe(self) -> PubSub:
        """A subscription that Redis has confirmed."""
        pubsub = self._client.pubsub()
        asked = monotonic()
        try:
            await pubsub.psubscribe(_PATTERN)
            await _answer(pubsub)
        except BaseException:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            raise
        self._image.subscribed(asked)
        for listener in {listener for listeners in self._listeners.values() for listener in listeners}:
            listener.wake()  # what was announced before this was not heard
        return pubsub

    async def _hear(self, pubsub: PubSub) -> None:
        """Never returns; raises `RedisError` or `OSError` when Redis hangs or was lost.

        One ping is under way at a time, whatever is announced meanwhile: its answer comes behind all that Redis had
        to say when it was sent. redis-py's own health check would send one, but not miss the answer.
        """
        asked: float | None = None
        due = monotonic() + _HEARTBEAT_SECONDS
        while True:
            message = await pubsub.get_message(timeout=max(_SHORTEST_WAIT, due - monotonic()))
            if message is not None and message["type"] == "pmessage":
                self._take(message["channel"].removeprefix(_CHANNEL), message["data"])
            elif message is not None and message["type"] == "pong" and asked is not None:
                self._image.heard(asked)
                due, asked = asked + _HEARTBEAT_SECONDS, None
            if (time := monotonic()) >= due:
                if asked is not None:
                    raise NoAnswer
                await pubsub.ping()
                due, asked = time + ANSWER_SECONDS, time

    def _take(self, partition: bytes, said: bytes) -> None:
        keys = announced(said)
        if keys is None:
            self._image.clear("announced")
        else:
            self._image.drop(keys)
        for listener in self._listeners.get(int(partition), ()) if partition.isdigit() else ():
            listener.wake()


async def _answer(pubsub: PubSub) -> dict[str, Any]:
    message: dict[str, Any] | None = await pubsub.get_message(timeout=ANSWER_SECONDS)
    if message is None:
        raise NoAnswer
    return message
