"""Adds orders to a log, step by step."""

from collections.abc import Mapping
from typing import Any

from contracts import events, streams
from contracts.envelope import RecordedEvent
from contracts.events import LinePieces, OrderLine
from projector_testing.shop import Log, order_id


def place(log: Log, number: int, lines: Mapping[str, int], **attributes: Any) -> str:
    """An order of so many pieces of each product, for 2.50 each."""
    order = order_id(number)
    ordered = tuple(
        OrderLine(product_id=product, name="Chai", quantity=quantity, unit_price="2.50")
        for product, quantity in lines.items()
    )
    total = f"{sum(lines.values()) * 2.5:.2f}"
    placed = events.OrderPlaced(customer_id="ann", lines=ordered, total=total, currency="EUR", payment_seconds=None)
    log.add(streams.order_stream(order), placed, **attributes)
    return order


def pay(log: Log, order: str, amount: str = "10.00", **attributes: Any) -> RecordedEvent:
    paid = events.OrderPaid(amount=amount, reference="transfer 4711")
    return log.add(streams.order_stream(order), paid, **attributes)


def pieces(*quantities: int) -> tuple[LinePieces, ...]:
    """So many of the first line, of the second, and so on."""
    return tuple(LinePieces(line=n, quantity=quantity) for n, quantity in enumerate(quantities) if quantity)
