"""The stock of one product, in pieces."""

from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import TypeAdapter

from command_service.decider import Aggregate, Stream
from command_service.problems import ProductNotFound
from contracts.events import InventoryEvent, InventoryOpened, ItemsShipped, StockAdded, StockRecounted
from contracts.streams import inventory_stream


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is on the shelf."""

    on_hand: int

    @property
    def available(self) -> int:
        return max(0, self.on_hand)


InventoryState = Inventory | None
"""None: the product has never been added."""


def evolve(state: InventoryState, event: InventoryEvent) -> InventoryState:
    if isinstance(event, InventoryOpened):
        return Inventory(event.quantity)
    if state is None:
        return None
    match event:
        case StockAdded():
            return replace(state, on_hand=state.on_hand + event.quantity)
        case StockRecounted():
            return replace(state, on_hand=event.counted_quantity)
        case ItemsShipped():
            return replace(state, on_hand=state.on_hand - event.quantity)
        case _:
            assert_never(event)


INVENTORY: Aggregate[InventoryState] = Aggregate(
    kind="inventory",
    initial=None,
    evolve=evolve,
    exists=lambda state: state is not None,
    snapshot=TypeAdapter(InventoryState),
)


def inventory(product_id: str) -> Stream[InventoryState]:
    return Stream(inventory_stream(product_id), INVENTORY)


def existing(state: InventoryState, product_id: str) -> Inventory:
    """The inventory, or the refusal that there is no such product."""
    if state is None:
        raise ProductNotFound(product_id)
    return state
