"""The stock of one product, in pieces."""

from dataclasses import dataclass
from typing import assert_never

from pydantic import TypeAdapter

from command_service.decider import Aggregate, Stream
from command_service.problems import ProductNotFound
from contracts.events import (
    InventoryEvent,
    InventoryOpened,
    ItemsRestocked,
    ItemsShipped,
    ReservationReleased,
    ReservedItemsShipped,
    StockAdded,
    StockRecounted,
    StockReserved,
)
from contracts.streams import inventory_stream


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is on the shelf, and how much of that orders have to themselves."""

    on_hand: int
    reserved: int = 0

    @property
    def available(self) -> int:
        return max(0, self.on_hand - self.reserved)

    @property
    def shortage(self) -> int:
        """Reserved pieces that are not on the shelf."""
        return max(0, self.reserved - self.on_hand)

    def change(self, *, on_hand: int = 0, reserved: int = 0) -> "Inventory":
        """With so many pieces more, or fewer."""
        return Inventory(self.on_hand + on_hand, self.reserved + reserved)


InventoryState = Inventory | None
"""None: the product has never been added."""


def evolve(state: InventoryState, event: InventoryEvent) -> InventoryState:
    if isinstance(event, InventoryOpened):
        return Inventory(event.quantity)
    if state is None:
        return None
    match event:
        case StockAdded() | ItemsRestocked():
            return state.change(on_hand=event.quantity)
        case StockRecounted():
            return Inventory(event.counted_quantity, state.reserved)
        case ItemsShipped():
            return state.change(on_hand=-event.quantity)
        case StockReserved():
            return state.change(reserved=event.quantity)
        case ReservationReleased():
            return state.change(reserved=-event.quantity)
        case ReservedItemsShipped():
            return state.change(on_hand=-event.quantity, reserved=-event.quantity)
        case _:
            assert_never(event)


INVENTORY: Aggregate[InventoryState] = Aggregate(
    kind="inventory",
    initial=None,
    evolve=evolve,
    exists=lambda state: state is not None,
    snapshot=TypeAdapter(InventoryState),
    snapshot_version=2,
)


def inventory(product_id: str) -> Stream[InventoryState]:
    return Stream(inventory_stream(product_id), INVENTORY)


def existing(state: InventoryState, product_id: str) -> Inventory:
    """The inventory, or the refusal that there is no such product."""
    if state is None:
        raise ProductNotFound(product_id)
    return state
