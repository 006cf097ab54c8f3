"""Takes messages from the broker: connects, consumes every queue, and begins again when that is lost.

Each queue is one partition of something, with one active consumer at a time over all instances of a process.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from chassis import broker
from chassis.ids import new_id
from chassis.logging import get_logger
from chassis.tasks import end, together

log = get_logger(__name__)

BROKER_LOST: Final = (AMQPError, ChannelInvalidStateError, OSError)

_PRIORITIES: Final = 1_000
_PAUSE: Final = 0.2
"""Seconds before connecting again, so that a broker that hangs up at once is not besieged."""

_OPEN_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 3.0


class Disconnected(Exception):
    """The connection, a channel or a consumer ended; what was declared is declared anew on another connection."""


def priority(instance: str, partition: int) -> int:
    """How much `instance` is to be preferred for a partition (rendezvous hashing).

    Every instance ranks differently for every partition, so that the broker spreads the partitions over the instances,
    and moves only a dead one's.
    """
    digest = hashlib.blake2b(f"{instance}/{partition}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _PRIORITIES


class Handler(Protocol):
    """What is done with one queue's messages on one connection. It acknowledges them itself, when they are done."""

    async def receive(self, message: AbstractIncomingMessage, /) -> None:
        """Takes a delivered message; quick, the work is done by `run`."""

    async def run(self) -> None:
        """Works for ever on what was received."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue and the direct exchange that it is bound to."""

    name: str
    arguments: dict[str, Any]
    exchange: str
    routing_key: str
    formerly: str | None = None
    """The routing key by which an earlier version of the consumer had bound it."""


def instance_name() -> str:
    """A name for this process that no other process has, nor had."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_id()}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which queues are consumed, by which instance of what, and how many messages of a queue may be in hand.

    What a queue dead-letters goes to the queue `dead_letters`, behind an exchange of the same name.
    """

    process: str
    queues: Sequence[Queue]
    dead_letters: str
    prefetch: int
    instance: str = field(default_factory=instance_name)


class Consumer:
    """Consumes every queue, each on a connection of its own, so that one stuck queue holds up no other.

    See decisions/0002-a-connection-per-queue.md.
    """

    def __init__(
        self,
        url: str,
        subscription: Subscription,
        handler: Callable[[int], Handler],
        on_change: Callable[[frozenset[int]], Any],
    ) -> None:
        """`handler` makes that of the queue with an index, for each new connection; `on_change` hears of `consumed`."""
        self._url = url
        self._subscription = subscription
        self._handler = handler
        self._on_change = on_change
        self._consumed: set[int] = set()

    @property
    def consumed(self) -> frozenset[int]:
        """The indices of the queues that are consumed just now."""
        return frozenset(self._consumed)

    async def run(self) -> None:
        """Consumes for ever, on one connection after the other."""
        await together(*(self._keep(number) for number in range(len(self._subscription.queues))))

    async def _keep(self, number: int) -> None:
        opening = AsyncRetrying(
            retry=retry_if_exception_type((*BROKER_LOST, Disconnected)),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            before_sleep=partial(_tell, self._subscription.queues[number].name),
        )
        while True:
            session: _Session = await opening.copy()(self._open, number)
            queue = self._subscription.queues[number].name
            log.info("consuming", queue=queue, instance=self._subscription.instance)
            self._consumed.add(number)
            self._on_change(self.consumed)
            try:
                await session.until_lost()
            finally:
                self._consumed.discard(number)
                self._on_change(self.consumed)
                await session.close()
            log.warning("consumer_lost", queue=queue)
            await asyncio.sleep(_PAUSE)

    async def _open(self, number: int) -> "_Session":
        name = f"{self._subscription.process} {self._subscription.instance} {number}"
        connection = await broker.connect(self._url, name)
        session = _Session(connection)
        try:
            # A queue without a leader takes the request and never answers it.
            async with asyncio.timeout(_OPEN_SECONDS):
                handler = self._handler(number)
                await self._subscribe(session, self._subscription.queues[number], number, handler)
            session.work(handler)
            if session.ended.is_set():
                raise Disconnected
        except RuntimeError as error:
            await session.close()
            if connection.is_closed:
                # That is how the driver says that the connection went away under our hands.
                raise Disconnected from error
            raise
        except BaseException:
            await session.close()
            raise
        return session

    async def _subscribe(self, session: "_Session", queue: Queue, number: int, handler: Handler) -> None:
        """Declares what the queue needs, and consumes from it."""
        channel = await session.connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(session.end)
        await channel.set_qos(prefetch_count=self._subscription.prefetch)
        dead_letters = self._subscription.dead_letters
        await broker.declare_dead_letters(channel, dead_letters, dead_letters)
        exchange = await broker.declare_direct_exchange(channel, queue.exchange)
        declared = await broker.declare_queue(channel, queue.name, queue.arguments)
        await declared.bind(exchange, queue.routing_key)
        if queue.formerly is not None:
            await declared.unbind(exchange, queue.formerly)
        # The broker cancels a consumer when its queue is deleted or fails over: declare it again.
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(session.end)
        rank = priority(self._subscription.instance, number)
        await declared.consume(handler.receive, arguments={"x-priority": rank})


class _Session:
    """One connection and the work on it. It ends as a whole: with the connection, the channel or the consumer."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.ended = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        connection.close_callbacks.add(self.end)
        if connection.is_closed:
            self.ended.set()

    def end(self, *_: object) -> None:
        self.ended.set()

    def work(self, handler: Handler) -> None:
        self._work = asyncio.create_task(_run(handler))
        self._work.add_done_callback(self.end)

    async def until_lost(self) -> None:
        """Raises what the partition's work raised, unless it was the loss of the broker itself."""
        await self.ended.wait()
        if self._work is not None and self._work.done():
            error = self._work.exception()
            if error is not None and not isinstance(error, BROKER_LOST):
                raise error

    async def close(self) -> None:
        """Stops the work; what is not acknowledged is delivered again, to whoever consumes next.

        Also when it is cancelled meanwhile: a connection that stays open keeps its queue from every other instance.
        """
        try:
            if self._work is not None:
                await end(self._work)
        finally:
            with suppress(*BROKER_LOST, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.connection.close()


async def _run(handler: Handler) -> None:
    await handler.run()


def _tell(queue: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "broker_unreachable",
        queue=queue,
        reason=type(error).__name__,
        retry_in=round(state.upcoming_sleep, 2),
    )
