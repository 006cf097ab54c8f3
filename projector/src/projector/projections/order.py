"""`OrderDetails`: an order, its lines and how many of their pieces went where, from the order's events alone."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, assert_never

from contracts.documents import OrderDetails, OrderDetailsLine, OrderStatus
from contracts.envelope import RecordedEvent
from contracts.events import (
    LinePieces,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderItemsReturned,
    OrderItemsShipped,
    OrderPaid,
    OrderPlaced,
    RemainingItemsCancelled,
)
from projector.projections.changing import changing

Handled = OrderEvent

EXPIRED: Final = "payment deadline passed"
"""Why an order was cancelled that nobody paid in time."""

_change: Final = changing(OrderDetails)


def project(document: OrderDetails | None, event: Handled, recorded: RecordedEvent) -> OrderDetails:
    """The order after `event`. `updated_at` never goes back, also when something is told afterwards."""
    order = document or OrderDetails(recorded.partition_key)
    return _change(
        _changed(order, event, recorded),
        updated_at=max(order.updated_at, recorded.time),
        version=recorded.version,
    )


def is_hidden(document: OrderDetails) -> bool:
    """Until `OrderPlaced` has come, which is the first event of every order."""
    return document.placed_at == ""


def _changed(order: OrderDetails, event: Handled, recorded: RecordedEvent) -> OrderDetails:
    match event:
        case OrderPlaced():
            return _placed(order, event, recorded)
        case OrderPaid():
            return _change(order, status="paid", payment_reference=event.reference)
        case OrderItemsShipped():
            return _moved(order, "shipped", event.lines)
        case OrderItemsReturned():
            return _moved(order, "returned", event.lines)
        case RemainingItemsCancelled():
            return _change(_moved(order, "cancelled", event.lines), cancellation_reason=event.reason)
        case OrderCancelled():
            return _cancelled(order, event.reason)
        case OrderExpired():
            return _cancelled(order, EXPIRED)
        case _:
            assert_never(event)


def _placed(order: OrderDetails, event: OrderPlaced, recorded: RecordedEvent) -> OrderDetails:
    lines = [
        OrderDetailsLine(
            product_id=line.product_id,
            name=line.name,
            quantity=line.quantity,
            unit_price=line.unit_price,
            shipped=0,
            returned=0,
            cancelled=0,
        )
        for line in event.lines
    ]
    return _change(
        order,
        customer_id=event.customer_id,
        status="placed",
        lines=lines,
        total=event.total,
        currency=event.currency,
        placed_at=recorded.time,
    )


def _cancelled(order: OrderDetails, reason: str | None) -> OrderDetails:
    lines = [OrderDetailsLine(**{**line, "cancelled": line["quantity"]}) for line in order.lines]
    return _change(order, status="cancelled", lines=lines, cancellation_reason=reason)


def _moved(
    order: OrderDetails, where: Literal["shipped", "returned", "cancelled"], pieces: Iterable[LinePieces]
) -> OrderDetails:
    """With more pieces of some lines shipped, returned or cancelled. Every line is copied: documents share none."""
    lines = [line.copy() for line in order.lines]
    for some in pieces:
        lines[some.line][where] += some.quantity
    return _change(order, lines=lines, status=_status(lines))


def _status(lines: Sequence[OrderDetailsLine]) -> OrderStatus:
    """How far an order is of which something was shipped."""
    if any(line["shipped"] + line["cancelled"] < line["quantity"] for line in lines):
        return "partially_shipped"
    if not any(line["returned"] for line in lines):
        return "shipped"
    if any(line["returned"] < line["shipped"] for line in lines):
        return "partially_returned"
    return "returned"
