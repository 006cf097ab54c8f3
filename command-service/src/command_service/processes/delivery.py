"""One queue's messages: takes what has arrived, lets the manager handle it, and acknowledges it after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aio_pika.abc import AbstractIncomingMessage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from chassis.logging import get_logger
from command_service.processes import metrics
from command_service.processes.sending import passes
from contracts.envelope import RecordedEvent, UnreadableMessage, decode_batch

log = get_logger(__name__)

MAX_EVENTS: Final = 500
"""Events after which a batch takes no further message."""

Handle = Callable[[Sequence[RecordedEvent]], Awaitable[None]]


class Delivery:
    """The messages of one of a manager's queues, on one connection."""

    def __init__(self, manager: str, kind: str, partition: int, handle: Handle) -> None:
        """`kind` is that of the streams whose events are handled."""
        self._manager = manager
        self._kind = kind
        self._partition = partition
        self._handle = handle
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def receive(self, message: AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(message)

    async def run(self) -> None:
        """Handles message after message, for ever."""
        while True:
            last, events = await self._take(await self._arrived.get())
            if last is not None:
                await self._persist(events)
                # All before the last were handled with it, or rejected.
                await last.ack(multiple=True)

    async def _take(
        self, message: AbstractIncomingMessage
    ) -> tuple[AbstractIncomingMessage | None, list[RecordedEvent]]:
        """`message` and what has arrived behind it, up to a batch: the last readable message, and all their events."""
        last: AbstractIncomingMessage | None = None
        events: list[RecordedEvent] = []
        while True:
            try:
                events += decode_batch(message.body, self._kind)
                last = message
            except UnreadableMessage as error:
                await message.reject(requeue=False)
                metrics.DEAD_LETTERED.labels(self._manager).inc()
                log.error("message_dead_lettered", **self._names(), reason=str(error))
            if len(events) >= MAX_EVENTS or self._arrived.empty():
                return last, events
            message = self._arrived.get_nowait()

    async def _persist(self, events: Sequence[RecordedEvent]) -> None:
        """Has them handled, however long a server is away meanwhile."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(passes),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            before_sleep=self._hold,
        )
        await retrying(self._handle, events)

    def _hold(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("messages_held", **self._names(), reason=type(error).__name__, attempt=state.attempt_number)

    def _names(self) -> dict[str, object]:
        return {"manager": self._manager, "partition": self._partition}
