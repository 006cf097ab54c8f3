"""A customer orders: the lines are priced from the catalogue, and all of them are reserved, or none."""

from collections.abc import Sequence
from typing import Annotated, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from command_service.decider import Aggregate, Command, Decision, States, Stream, UseCase
from command_service.fields import Money, Pieces, UserId, Uuid
from command_service.problems import (
    OrderExists,
    OrderTooLarge,
    PriceChanged,
    ProductDiscontinued,
    ProductNotFound,
)
from contracts.events import OrderLine, OrderPlaced
from contracts.money import LIMIT, TICKS, from_ticks, minor_unit, round_half_up, to_ticks
from contracts.streams import product_stream

from .filling import MAX_LINES
from .order import order
from .stock import Shelves


class LineOrdered(BaseModel):
    """So many pieces of a product; refused when `expected_price` is given and the price is another by now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_id: Uuid
    quantity: Pieces
    expected_price: Money | None = None

    @property
    def stated_price(self) -> str | None:
        return None


class PastLineOrdered(LineOrdered):
    """A line of an order of the past may say what a piece cost then."""

    unit_price: Money | None = None

    @property
    def stated_price(self) -> str | None:
        return self.unit_price


class PlaceOrder(Command):
    """`customer_id` orders. Its id may be chosen here; else the server makes a UUIDv7.

    An order that is not paid in time expires, and its stock is free again.
    """

    customer_id: UserId
    lines: Annotated[tuple[LineOrdered, ...], Field(min_length=1, max_length=MAX_LINES)]
    id: Uuid | None = None

    def identified(self, new_id: str) -> "PlaceOrder":
        return self if self.id is not None else self.model_copy(update={"id": new_id})

    @classmethod
    def told_afterwards(cls) -> type[Command]:
        return PlacePastOrder

    @property
    def order_id(self) -> str:
        assert self.id is not None, "a command is identified before it is decided"
        return self.id

    def product_ids(self) -> Sequence[str]:
        return tuple(dict.fromkeys(line.product_id for line in self.lines))


class PlacePastOrder(PlaceOrder):
    """An order that was placed in the past: no payment deadline, and its lines may state their prices."""

    lines: Annotated[tuple[PastLineOrdered, ...], Field(min_length=1, max_length=MAX_LINES)]

    @classmethod
    def type_name(cls) -> str:
        return PlaceOrder.type_name()


class Offer(Protocol):
    """A product as orders see it. Money is a decimal string."""

    @property
    def name(self) -> str: ...

    @property
    def price(self) -> str: ...

    @property
    def is_discontinued(self) -> bool: ...


Offers = dict[str, Offer]


def decide(
    command: PlaceOrder, states: States, offers: Offers, shelves: Shelves, currency: str, payment_seconds: int
) -> Decision:
    target = order(command.order_id)
    if states.of(target) is not None:
        raise OrderExists(command.order_id)
    _refuse_discontinued(offers)
    _refuse_other_prices(command, offers)
    lines = tuple(
        OrderLine(
            product_id=line.product_id,
            name=offers[line.product_id].name,
            quantity=line.quantity,
            unit_price=line.stated_price or offers[line.product_id].price,
        )
        for line in command.lines
    )
    placed = OrderPlaced(
        customer_id=command.customer_id,
        lines=lines,
        total=total_of(lines, currency),
        currency=currency,
        payment_seconds=None if isinstance(command, PlacePastOrder) else payment_seconds,
    )
    pieces: dict[str, int] = {}
    for line in command.lines:
        pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    return [(target, placed), *shelves.reserve(states, command.order_id, pieces)]


def _refuse_discontinued(offers: Offers) -> None:
    discontinued = [product_id for product_id, offer in offers.items() if offer.is_discontinued]
    if discontinued:
        raise ProductDiscontinued(discontinued)


def _refuse_other_prices(command: PlaceOrder, offers: Offers) -> None:
    changed = [
        (line.product_id, line.expected_price, offers[line.product_id].price)
        for line in command.lines
        if line.expected_price is not None and line.expected_price != offers[line.product_id].price
    ]
    if changed:
        raise PriceChanged(changed)


def total_of(lines: Sequence[OrderLine], currency: str) -> str:
    """Quantity × unit price of all lines, rounded once."""
    exact = sum(line.quantity * to_ticks(line.unit_price) for line in lines)
    rounded = round_half_up(exact, minor_unit(currency))
    if rounded >= LIMIT * TICKS:
        raise OrderTooLarge
    return from_ticks(rounded)


def use_case(
    command: type[PlaceOrder],
    products: Aggregate[object],
    inventories: Aggregate[object],
    currency: str,
    payment_seconds: int,
) -> UseCase[PlaceOrder]:
    """`products` and `inventories` are how those are folded; an unpaid order expires after `payment_seconds`."""
    shelves = Shelves(inventories)

    def product(product_id: str) -> Stream[object]:
        return Stream(product_stream(product_id), products)

    def offers(issued: PlaceOrder, states: States) -> Offers:
        found = {}
        for product_id in issued.product_ids():
            state = states.of(product(product_id))
            if state is None:
                raise ProductNotFound(product_id)
            found[product_id] = cast(Offer, state)
        return found

    return UseCase(
        command,
        target=lambda issued: order(issued.order_id),
        also_writes=lambda issued: shelves.streams(issued.product_ids()),
        reads=lambda issued: [product(product_id) for product_id in issued.product_ids()],
        decide=lambda issued, states: decide(
            issued, states, offers(issued, states), shelves, currency, payment_seconds
        ),
        result=lambda issued: {"id": issued.order_id},
    )
