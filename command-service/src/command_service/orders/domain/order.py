"""An order: what was ordered, and what has become of it. Each state of its life is a type of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, assert_never

from pydantic import Field, TypeAdapter

from command_service.decider import Aggregate, Stream
from command_service.problems import OrderNotFound
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
from contracts.money import from_ticks, minor_unit, round_half_up, to_ticks
from contracts.streams import order_stream


@dataclass(frozen=True, slots=True)
class Line:
    """Pieces of one product, at the price that it had. Money in 1/10000."""

    product_id: str
    quantity: int
    unit_price: int
    shipped: int = 0
    returned: int = 0
    cancelled: int = 0

    @property
    def left(self) -> int:
        """Pieces that are still to be shipped."""
        return self.quantity - self.shipped - self.cancelled

    @property
    def returnable(self) -> int:
        return self.shipped - self.returned

    @property
    def refundable(self) -> int:
        """What the pieces cost that the customer has not got, or not any more."""
        return self.unit_price * (self.returned + self.cancelled)


Lines = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Payment:
    amount: str
    reference: str


@dataclass(frozen=True, slots=True)
class Placed:
    """Waits to be paid; its stock is reserved."""

    lines: Lines
    total: str
    currency: str
    kind: Literal["placed"] = "placed"


@dataclass(frozen=True, slots=True)
class Paid:
    """Waits to be shipped."""

    lines: Lines
    total: str
    currency: str
    payment: Payment
    kind: Literal["paid"] = "paid"


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """`refunded` is in 1/10000."""

    lines: Lines
    currency: str
    payment: Payment
    refunded: int = 0


@dataclass(frozen=True, slots=True)
class PartiallyShipped(_UnderWay):
    """Something was shipped, and something is left to ship."""

    kind: Literal["partially_shipped"] = "partially_shipped"


@dataclass(frozen=True, slots=True)
class Shipped(_UnderWay):
    """Nothing is left to ship, and nothing came back."""

    kind: Literal["shipped"] = "shipped"


@dataclass(frozen=True, slots=True)
class PartiallyReturned(_UnderWay):
    """Nothing is left to ship, and something came back."""

    kind: Literal["partially_returned"] = "partially_returned"


@dataclass(frozen=True, slots=True)
class Returned(_UnderWay):
    """All that was shipped came back."""

    kind: Literal["returned"] = "returned"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Cancelled or expired before anything was shipped; `payment` is what had been paid, and is given back."""

    lines: Lines
    payment: Payment | None = None
    kind: Literal["cancelled"] = "cancelled"


UnderWay = PartiallyShipped | Shipped | PartiallyReturned | Returned
"""Something was shipped."""
Order = Placed | Paid | UnderWay | Cancelled
OrderState = Order | None
"""None: there has never been such an order."""


def evolve(state: OrderState, event: OrderEvent) -> OrderState:
    if isinstance(event, OrderPlaced):
        lines = tuple(Line(one.product_id, one.quantity, to_ticks(one.unit_price)) for one in event.lines)
        return Placed(lines, event.total, event.currency)
    match event:
        case OrderPaid():
            if isinstance(state, Placed):
                return Paid(state.lines, state.total, state.currency, Payment(event.amount, event.reference))
        case OrderCancelled() | OrderExpired():
            if isinstance(state, Placed):
                return Cancelled(state.lines)
            if isinstance(state, Paid):
                return Cancelled(state.lines, state.payment)
        case OrderItemsShipped():
            if isinstance(state, Paid | UnderWay):
                return _under_way(state, with_pieces(state.lines, event.lines, "shipped"))
        case RemainingItemsCancelled():
            if isinstance(state, Paid | UnderWay):
                return _under_way(state, with_pieces(state.lines, event.lines, "cancelled"), to_ticks(event.refund))
        case OrderItemsReturned():
            if isinstance(state, Paid | UnderWay):
                return _under_way(state, with_pieces(state.lines, event.lines, "returned"), to_ticks(event.refund))
        case _:
            assert_never(event)
    return state


def with_pieces(
    lines: Lines, changes: Iterable[LinePieces], where: Literal["shipped", "cancelled", "returned"]
) -> Lines:
    """The lines after so many pieces more of some of them were shipped, cancelled or returned."""
    changed = list(lines)
    for change in changes:
        if change.line < len(changed):  # replaying history can't fail
            line = changed[change.line]
            changed[change.line] = replace(line, **{where: getattr(line, where) + change.quantity})
    return tuple(changed)


def _under_way(before: Paid | UnderWay, lines: Lines, refund: int = 0) -> UnderWay:
    """The state that the lines stand for."""
    refunded = refund + (0 if isinstance(before, Paid) else before.refunded)
    state: type[UnderWay]
    if any(line.left for line in lines):
        state = PartiallyShipped
    elif not any(line.returned for line in lines):
        state = Shipped
    elif any(line.returnable for line in lines):
        state = PartiallyReturned
    else:
        state = Returned
    return state(lines, before.currency, before.payment, refunded)


def refund_of(state: UnderWay, lines: Lines) -> str:
    """What is given back when the order's lines become these.

    The sum of all refunds is rounded, not each, so that an order that came back whole is refunded its very total.
    """
    due = round_half_up(sum(line.refundable for line in lines), minor_unit(state.currency))
    return from_ticks(due - state.refunded)


ORDER: Aggregate[OrderState] = Aggregate(
    kind="order",
    initial=None,
    evolve=evolve,
    exists=lambda state: state is not None,
    snapshot=TypeAdapter(Annotated[Order, Field(discriminator="kind")] | None),
)


def order(order_id: str) -> Stream[OrderState]:
    return Stream(order_stream(order_id), ORDER)


def existing(state: OrderState, order_id: str) -> Order:
    """The order, or the refusal that there is none."""
    if state is None:
        raise OrderNotFound(order_id)
    return state


def pieces_by_product(lines: Sequence[Line], pieces: Iterable[LinePieces]) -> Mapping[str, int]:
    """Product id → how many, in the order of the lines."""
    summed: dict[str, int] = {}
    for one in pieces:
        product_id = lines[one.line].product_id
        summed[product_id] = summed.get(product_id, 0) + one.quantity
    return summed


def products_of(state: OrderState) -> Sequence[str]:
    """The ids of the products of an order; they never change."""
    return () if state is None else tuple(dict.fromkeys(line.product_id for line in state.lines))
