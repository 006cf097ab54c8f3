"""An order that is not paid by its deadline expires, and its stock is free again."""

from datetime import datetime, timedelta
from typing import Final, Literal, assert_never

from pydantic import TypeAdapter

from command_service.orders.domain.expire_order import ExpireOrder
from command_service.processes.manager import ProcessManager, Reaction, Timer
from contracts.envelope import RecordedEvent
from contracts.events import OrderCancelled, OrderExpired, OrderPaid, OrderPlaced
from contracts.streams import partition_key_of

Payment = Literal["awaited", "settled"]
"""Settled: paid, or not expected any more."""

Concerned = OrderPlaced | OrderPaid | OrderCancelled | OrderExpired


def react(_state: Payment, event: Concerned, recorded: RecordedEvent) -> Reaction[Payment]:
    match event:
        case OrderPlaced():
            return Reaction("awaited", timer=_deadline(event, recorded))
        case OrderPaid() | OrderCancelled() | OrderExpired():
            return Reaction("settled", timer=Timer.CLEARED)
        case _:
            assert_never(event)


def _deadline(event: OrderPlaced, recorded: RecordedEvent) -> datetime | Timer:
    if event.payment_seconds is None:
        return Timer.CLEARED
    return datetime.fromisoformat(recorded.recorded_at) + timedelta(seconds=event.payment_seconds)


def expire(stream_id: str, _state: Payment) -> ExpireOrder:
    return ExpireOrder(order_id=partition_key_of(stream_id))


PAYMENT_DEADLINES: Final[ProcessManager[Payment]] = ProcessManager(
    name="payment-deadlines",
    follows="order",
    concerned=frozenset({OrderPlaced, OrderPaid, OrderCancelled, OrderExpired}),
    initial="awaited",
    react=react,
    state=TypeAdapter(Payment),
    on_due=expire,
)
