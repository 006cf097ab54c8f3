"""Messages that can't be read at all: no key can be made out that they belong to. They are kept, and can be seen."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, DeliveryMode
from aiormq.exceptions import ChannelLockedResource
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_random_exponential,
)

from chassis import broker
from chassis.logging import get_logger
from chassis.publisher import NOT_PUBLISHED, Publisher
from contracts.topology import DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, ORIGIN_HEADER, REASON_HEADER

log = get_logger(__name__)

MOST_SHOWN: Final = 200
"""Characters of a message that are shown."""

_REASON_LENGTH: Final = 500

_LOOKING: Final = f"{DEAD_LETTER_QUEUE}.looking"
"""An exclusive queue, which stays empty: whoever has it looks, others wait. It ends with its owner's connection."""

_TURN_SECONDS: Final = 30.0

_RENEWED: Final = 10
"""Deliveries after which a message is published anew. RabbitMQ 4 drops one that was looked at 20 times."""


class OthersLook(Exception):
    """Somebody else has looked at the dead letters for so long that nobody's turn came."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message among the dead letters; what it does not say of itself is empty."""

    reason: str
    origin: str
    """The queue or exchange by which it had come."""
    at: str
    """RFC 3339."""
    size: int
    """Bytes."""
    beginning: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """How many there are, and the oldest of them."""

    count: int
    items: list[DeadLetter]


async def keep(publisher: Publisher, message: AbstractIncomingMessage, origin: str, reason: str) -> None:
    """Returns when the broker has a copy with the reason: then `message` may be acknowledged."""
    copy = aio_pika.Message(
        message.body,
        headers={REASON_HEADER: reason[:_REASON_LENGTH], ORIGIN_HEADER: origin},
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        timestamp=datetime.now(UTC),
    )
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(NOT_PUBLISHED),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=_tell,
    )

    async def attempt() -> None:
        await broker.declare_dead_letters(await publisher.channel(), DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        await publisher.publish(DEAD_LETTER_EXCHANGE, "", copy)

    await retrying(attempt)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("dead_letter_held", reason=type(error).__name__, attempt=state.attempt_number)


async def look(url: str, limit: int) -> DeadLetters:
    """The oldest dead letters. They stay where they are, and everybody who looks at the same time sees them.

    Raises:
        chassis.publisher.NOT_PUBLISHED: the broker can't be reached.
        OthersLook: they did for 30 s.
    """
    publisher = Publisher(url, "stockroom-projector dead-letters")
    try:
        channel = await _turn(publisher)
        await broker.declare_dead_letters(channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        queue = await channel.declare_queue(DEAD_LETTER_QUEUE, passive=True)
        taken: list[AbstractIncomingMessage] = []
        while len(taken) < limit and (message := await queue.get(no_ack=False, fail=False)) is not None:
            taken.append(message)
        for message in taken:
            await _put_back(publisher, message)
        await _are_back(channel, len(taken))
        count = max(queue.declaration_result.message_count or 0, len(taken))
        return DeadLetters(count, [_shown(message) for message in taken])
    finally:
        await publisher.close()


async def _turn(publisher: Publisher) -> AbstractChannel:
    """A channel, once nobody else looks: what somebody has taken to look at is hidden from all others."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(ChannelLockedResource),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
        stop=stop_after_delay(_TURN_SECONDS),
    )

    async def attempt() -> AbstractChannel:
        channel = await publisher.channel()
        await channel.declare_queue(_LOOKING, exclusive=True)
        return channel

    try:
        return await retrying(attempt)
    except RetryError:
        raise OthersLook(f"Others have looked at the dead letters for {_TURN_SECONDS:.0f} s; try again.") from None


async def _are_back(channel: AbstractChannel, count: int) -> None:
    """Returns when the queue has so many messages: a message is given back without an answer."""
    retrying = AsyncRetrying(
        retry=retry_if_result(lambda there: there < count),
        wait=wait_random_exponential(multiplier=0.01, max=0.2),
        stop=stop_after_delay(_TURN_SECONDS),
        retry_error_callback=lambda _: None,
    )

    async def there() -> int:
        queue = await channel.declare_queue(DEAD_LETTER_QUEUE, passive=True)
        return queue.declaration_result.message_count or 0

    await retrying(there)


async def _put_back(publisher: Publisher, message: AbstractIncomingMessage) -> None:
    deliveries = message.headers.get("x-delivery-count")
    if not isinstance(deliveries, int) or deliveries < _RENEWED:
        await message.nack(requeue=True)
        return
    headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
    copy = aio_pika.Message(
        message.body,
        headers=headers,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        timestamp=message.timestamp,
    )
    await publisher.publish("", DEAD_LETTER_QUEUE, copy)
    await message.ack()


def _shown(message: AbstractIncomingMessage) -> DeadLetter:
    by_broker = _death(message.headers)
    at = message.timestamp or by_broker.get("time")
    return DeadLetter(
        reason=str(message.headers.get(REASON_HEADER) or by_broker.get("reason", "")),
        origin=str(message.headers.get(ORIGIN_HEADER) or by_broker.get("queue", "")),
        at=at.astimezone(UTC).isoformat(timespec="seconds") if isinstance(at, datetime) else "",
        size=len(message.body),
        beginning=message.body[: 4 * MOST_SHOWN].decode(errors="backslashreplace")[:MOST_SHOWN],
    )


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the broker says of a message that it has dead-lettered itself."""
    with suppress(KeyError, IndexError, TypeError):
        death: Any = headers["x-death"][0]
        if isinstance(death, Mapping):
            return death
    return {}
