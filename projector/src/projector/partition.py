"""One partition's messages: takes what has arrived, applies it, and acknowledges it after."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aio_pika.abc import AbstractIncomingMessage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from chassis.logging import get_logger
from chassis.publisher import Publisher
from contracts.envelope import RecordedEvent, UnreadableMessage, decode_batch
from contracts.topology import EventQueue, read_model_subscriber
from projector import dead_letters, metrics
from projector.feed import FeedUnavailable
from projector.healing import Healing, NotSettled, TooFarBehind
from projector.redis_client import UNREACHABLE
from projector.store import Gap, GuardLost, Store

log = get_logger(__name__)

HELD: Final = (*UNREACHABLE, FeedUnavailable, GuardLost, Gap, NotSettled, TooFarBehind)
"""What no event is to blame for: its message is held, unacknowledged, until it has passed."""


class Partition:
    """The messages of one partition's queue, on one connection."""

    def __init__(
        self,
        number: int,
        store: Store,
        healing: Healing,
        publisher: Publisher,
        batch_events: int,
        on_held: Callable[[bool], Any],
    ) -> None:
        self.number = number
        self._queue = EventQueue(read_model_subscriber(store.generation.number), number).name
        self._publisher = publisher
        self._store = store
        self._healing = healing
        self._batch_events = batch_events
        self._on_held = on_held
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._in_hand = metrics.IN_HAND.labels(str(store.generation.number), str(number))

    async def receive(self, message: AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(message)

    async def run(self) -> None:
        """Applies message after message, for ever."""
        try:
            while True:
                message = await self._arrived.get()
                self._in_hand.set(self._arrived.qsize() + 1)
                last, events = await self._take(message)
                if last is not None:
                    await self._apply(events)
                    # All before the last were applied with it, or acknowledged as dead letters.
                    await last.ack(multiple=True)
                self._in_hand.set(self._arrived.qsize())
        finally:
            # Another instance may have them next, and tells of them itself.
            self._in_hand.set(0)

    async def _take(
        self, message: AbstractIncomingMessage
    ) -> tuple[AbstractIncomingMessage | None, list[RecordedEvent]]:
        """`message` and what has arrived behind it, up to a batch: the last readable message, and all their events."""
        last: AbstractIncomingMessage | None = None
        events: list[RecordedEvent] = []
        while True:
            try:
                events += decode_batch(message.body)
                last = message
            except UnreadableMessage as error:
                await dead_letters.keep(self._publisher, message, self._queue, str(error))
                await message.ack()
                metrics.DEAD_LETTERED.inc()
                log.error("message_dead_lettered", partition=self.number, reason=str(error))
            if len(events) >= self._batch_events or self._arrived.empty():
                return last, events
            message = self._arrived.get_nowait()

    async def _apply(self, events: list[RecordedEvent]) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(HELD),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            before_sleep=self._hold,
        )
        await retrying(self._healing.apply, self.number, events, self._store.whole, behind_too=True)

    def _hold(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1:
            self._on_held(isinstance(error, TooFarBehind))
        log.warning("messages_held", partition=self.number, reason=type(error).__name__, attempt=state.attempt_number)
