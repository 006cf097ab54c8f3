"""Views over many orders: what is sold on each day, and which products are bought together.

They are sums of increments, so no order of events matters. An increment must count once, though, and repeating it would
not be noticed: it is written by the very script that lets its event pass the gate, and only for an applied event.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, assert_never

from contracts.documents import OrderDetails
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
from contracts.keys import Generation
from contracts.money import to_ticks
from projector.projections.indexing import Command

MOST_PRODUCTS_TOGETHER: Final = 100
"""Distinct products; orders with more don't say what is bought together, but would make most of all pairs."""

_MOST: Final = 2**53
"""No event counts for more: Redis must be able to add up what many of them come to."""

Increments = dict[str, dict[str, int]]
"""Key → field or member → by how much it changes."""


@dataclass(slots=True)
class Tally:
    """By how much sums change, over a whole batch."""

    sums: Increments = field(default_factory=dict)
    """Of hashes."""
    scores: Increments = field(default_factory=dict)
    """Of sorted sets."""
    size: int = 0
    """How many scores were changed, counting each time."""

    def merge(self, other: "Tally") -> None:
        """Both in one; `other` must not be used any more."""
        for mine, theirs in ((self.sums, other.sums), (self.scores, other.scores)):
            for key, increments in theirs.items():
                known = mine.setdefault(key, increments)
                if known is not increments:
                    for name, increment in increments.items():
                        known[name] = known.get(name, 0) + increment

        self.size += other.size

    def increments(self) -> Iterator[tuple[Literal["HINCRBY", "ZINCRBY"], str, Command]]:
        """(command, key, its two further arguments for each increment)."""
        for key, by_field in self.sums.items():
            yield "HINCRBY", key, [a for name, increment in by_field.items() if increment for a in (name, increment)]
        for key, by_member in self.scores.items():
            yield "ZINCRBY", key, [a for member, increment in by_member.items() for a in (increment, member)]


def tally(generation: Generation, order: OrderDetails, event: OrderEvent, recorded: RecordedEvent) -> Tally:
    """What an order's event adds; `order` is as it has become by it. Nothing may be added of an event that raises."""
    sales = _sales(order, event)
    if any(abs(increment) > _MOST for increment in sales.values()):
        raise ValueError(f"{event.type} counts for too much")
    together = _bought_together(generation, order) if isinstance(event, OrderPaid) else {}
    # The day is that of the shop's own books, in UTC like all times.
    sums = {generation.sales(recorded.time[:10]): sales} if sales else {}
    return Tally(sums, together, sum(map(len, together.values())))


def _sales(order: OrderDetails, event: OrderEvent) -> dict[str, int]:
    """By field of `DaySales`; money in 1/10000."""
    match event:
        case OrderPaid():
            units = sum(line["quantity"] for line in order.lines)
            return {"orders": 1, "units": units, "revenue": to_ticks(event.amount)}
        case OrderCancelled():
            return {"cancelled_orders": 1, "refunds": to_ticks(event.refund)}
        case OrderExpired():
            return {"cancelled_orders": 1}
        case RemainingItemsCancelled():
            return {"refunds": to_ticks(event.refund)}
        case OrderItemsReturned():
            return {"returned_units": _pieces(event.lines), "refunds": to_ticks(event.refund)}
        case OrderPlaced() | OrderItemsShipped():
            return {}
        case _:
            assert_never(event)


def _pieces(lines: tuple[LinePieces, ...]) -> int:
    return sum(line.quantity for line in lines)


def _bought_together(generation: Generation, order: OrderDetails) -> Increments:
    """Each product of the order with each other one. Minus 1, so that ascending scores have the most frequent first."""
    products = dict.fromkeys(line["product_id"] for line in order.lines)
    if not 1 < len(products) <= MOST_PRODUCTS_TOGETHER:
        return {}
    return {
        generation.bought_with(product): {other: -1 for other in products if other != product} for product in products
    }
