"""Takes events from the broker: connects, consumes every partition's queue, and begins again when that is lost."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from chassis import broker
from chassis.logging import get_logger
from contracts.topology import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    EventQueue,
    routing_key,
)
from projector import metrics
from projector.partition import Partition

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


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whose queues are consumed, by which instance, and how many messages of a partition may be in hand."""

    subscriber: str
    instance: str
    partitions: int
    prefetch: int


class Consumer:
    """Consumes every partition, each on a connection of its own, so that one stuck queue holds up no other partition.

    See decisions/0004-a-connection-per-partition.md.
    """

    def __init__(
        self,
        url: str,
        subscription: Subscription,
        partition: Callable[[int], Partition],
        on_connected: Callable[[], Any],
    ) -> None:
        self._url = url
        self._subscription = subscription
        self._partition = partition
        self._on_connected = on_connected
        self._consumed: set[int] = set()

    @property
    def consumed(self) -> frozenset[int]:
        """The partitions whose queues are consumed just now. The walk carries the others' events."""
        return frozenset(self._consumed)

    async def run(self) -> None:
        """Consumes for ever, on one connection after the other."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._subscription.partitions):
                tasks.create_task(self._keep(number))

    async def _keep(self, number: int) -> None:
        opening = AsyncRetrying(
            retry=retry_if_exception_type((*BROKER_LOST, Disconnected)),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            before_sleep=partial(_tell, number),
        )
        while True:
            session: _Session = await opening.copy()(self._open, number)
            log.info("consuming", partition=number, instance=self._subscription.instance)
            self._consumed.add(number)
            metrics.CONSUMED.set(len(self._consumed))
            self._on_connected()
            try:
                await session.until_lost()
            finally:
                self._consumed.discard(number)
                metrics.CONSUMED.set(len(self._consumed))
                await session.close()
            log.warning("consumer_lost", partition=number)
            await asyncio.sleep(_PAUSE)

    async def _open(self, number: int) -> "_Session":
        connection = await broker.connect(self._url, f"stockroom-projector {self._subscription.instance} {number}")
        session = _Session(connection)
        try:
            # A queue without a leader takes the request and never answers it.
            async with asyncio.timeout(_OPEN_SECONDS):
                partition = self._partition(number)
                await self._subscribe(session, partition)
            session.work(partition)
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

    async def _subscribe(self, session: "_Session", partition: Partition) -> None:
        """Declares what the partition's queue needs, and consumes from it."""
        channel = await session.connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(session.end)
        await channel.set_qos(prefetch_count=self._subscription.prefetch)
        exchange = await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE)
        await broker.declare_dead_letters(channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        queue = EventQueue(self._subscription.subscriber, partition.number)
        declared = await broker.declare_queue(channel, queue.name, queue.arguments)
        await declared.bind(exchange, routing_key(partition.number))
        # The broker cancels a consumer when its queue is deleted or fails over: declare it again.
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(session.end)
        rank = priority(self._subscription.instance, partition.number)
        await declared.consume(partition.receive, arguments={"x-priority": rank})


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

    def work(self, partition: Partition) -> None:
        self._work = asyncio.create_task(partition.run())
        self._work.add_done_callback(self.end)

    async def until_lost(self) -> None:
        """Raises what the partition's work raised, unless it was the loss of the broker itself."""
        await self.ended.wait()
        if self._work is not None and self._work.done():
            error = self._work.exception()
            if error is not None and not isinstance(error, BROKER_LOST):
                raise error

    async def close(self) -> None:
        """Stops the work; what is not acknowledged is delivered again, to whoever consumes next."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        with suppress(*BROKER_LOST, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.connection.close()


def _tell(partition: int, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "broker_unreachable",
        partition=partition,
        reason=type(error).__name__,
        retry_in=round(state.upcoming_sleep, 2),
    )
