"""A shop with products in stock, and orders in each state of their life."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from command_service.bootstrap import use_cases
from command_service.database import Shop
from command_service.decider import Command, UseCase
from command_service.orders.domain.cancel_order import CancelOrder
from command_service.orders.domain.confirm_payment import ConfirmPayment
from command_service.orders.domain.order import ORDER, Order
from command_service.orders.domain.place_order import PlaceOrder
from command_service.orders.domain.return_items import ReturnItems
from command_service.orders.domain.ship_order import ShipOrder
from contracts.events import Event, InventoryOpened, ProductAdded
from contracts.streams import inventory_stream, order_stream, product_stream

from .support import Given

ORDER_ID = "0190a5f0-7c3e-7b1a-9d2e-0000000000aa"
TEA, CUP, POT = (f"0190a5f0-7c3e-7b1a-9d2e-00000000000{n}" for n in (1, 2, 3))
STREAM = order_stream(ORDER_ID)


def lines(*pieces: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"product_id": product_id, "quantity": quantity} for product_id, quantity in pieces]


def place(*pieces: tuple[str, int], **data: Any) -> PlaceOrder:
    return PlaceOrder.model_validate({"id": ORDER_ID, "customer_id": "ann", "lines": lines(*pieces), **data})


def pay(amount: str, reference: str = "card") -> ConfirmPayment:
    return ConfirmPayment(order_id=ORDER_ID, amount=amount, reference=reference)


def ship(*pieces: tuple[str, int]) -> ShipOrder:
    """All that is left, if no pieces are named."""
    return ShipOrder.model_validate({"order_id": ORDER_ID, **({"lines": lines(*pieces)} if pieces else {})})


def cancel(reason: str | None = None) -> CancelOrder:
    return CancelOrder(order_id=ORDER_ID, reason=reason)


def take_back(*pieces: tuple[str, int], **data: Any) -> ReturnItems:
    return ReturnItems.model_validate({"order_id": ORDER_ID, "lines": lines(*pieces), **data})


@dataclass
class OrderShop(Given):
    """A shop's past that goes on: what `do` decides has happened."""

    currency: str = "EUR"
    cases: dict[type[Command], UseCase[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.cases = use_cases(Shop(partitions=8, currency=self.currency), payment_deadline=900)

    def when(self, command: Command) -> list[tuple[str, Event]]:
        """The events that the command leads to, with their streams, each of which the use case has named."""
        case = self.cases[type(command)]
        target = case.target(command)
        follows = case.follows(command, self.of(target)) if case.follows else ()
        writes = {target.id, *(stream.id for stream in (*case.also_writes(command), *follows))}
        decided = [(stream.id, event) for stream, event in case.decide(command, self)]
        assert {stream_id for stream_id, _ in decided} <= writes
        return decided

    def do(self, *commands: Command) -> "OrderShop":
        for command in commands:
            for stream_id, event in self.when(command):
                self.past[stream_id] = [*self.past.get(stream_id, ()), event]
        return self

    def happened(self, stream_id: str, *events: Event) -> "OrderShop":
        self.past[stream_id] = [*self.past.get(stream_id, ()), *events]
        return self

    def order_event(self, command: Command) -> Event:
        """The one event of the order itself that the command leads to."""
        [event] = [event for stream_id, event in self.when(command) if stream_id == STREAM]
        return event

    @property
    def order(self) -> Order:
        state = ORDER.initial
        for event in self.past.get(STREAM, ()):
            state = ORDER.evolve(state, event)
        assert state is not None
        return state


def shop(*products: tuple[str, str, int], currency: str = "EUR") -> OrderShop:
    """A shop with products: id, price, stock."""
    past: dict[str, Sequence[Event]] = {}
    for product_id, price, stock in products:
        added = ProductAdded(
            name=f"Name of {product_id[-1]}", description=None, price=price, currency=currency, sku=None, category=None
        )
        past[product_stream(product_id)] = [added]
        past[inventory_stream(product_id)] = [InventoryOpened(quantity=stock)]
    return OrderShop(past, currency=currency)
