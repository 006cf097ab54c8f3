"""The money for an order has come."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Money, Reference, Uuid
from command_service.problems import AmountMismatch, OrderNotPayable
from contracts.events import OrderPaid

from .order import Order, OrderState, Payment, Placed, existing, order


class ConfirmPayment(Command):
    """`amount`, the order's whole total, was paid; `reference` says with what. The same payment again is no other."""

    order_id: Uuid
    amount: Money
    reference: Reference


def decide(command: ConfirmPayment, state: OrderState) -> Iterable[OrderPaid]:
    current = existing(state, command.order_id)
    if _payment(current) == Payment(command.amount, command.reference):
        return
    if not isinstance(current, Placed):
        raise OrderNotPayable(f"The order is {current.kind.replace('_', ' ')}.")
    if command.amount != current.total:
        raise AmountMismatch(command.amount, current.total)
    yield OrderPaid(amount=command.amount, reference=command.reference)


def _payment(current: Order) -> Payment | None:
    return None if isinstance(current, Placed) else current.payment


USE_CASE = on_stream(ConfirmPayment, lambda command: order(command.order_id), decide)
