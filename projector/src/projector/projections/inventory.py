"""`ProductInventory`: a product's stock, from its inventory's events and, for name and SKU, the product's."""

from typing import Final, assert_never

from contracts.documents import ProductInventory
from contracts.envelope import RecordedEvent
from contracts.events import (
    InventoryEvent,
    InventoryOpened,
    ItemsRestocked,
    ItemsShipped,
    ProductAdded,
    ProductDetailsUpdated,
    ReservationReleased,
    ReservedItemsShipped,
    StockAdded,
    StockRecounted,
    StockReserved,
)
from projector.projections.changing import changing

Handled = ProductAdded | ProductDetailsUpdated | InventoryEvent

_change: Final = changing(ProductInventory)


def project(document: ProductInventory | None, event: Handled, recorded: RecordedEvent) -> ProductInventory:
    """The stock after `event`. `version` belongs to the inventory's stream, name and SKU to the product's."""
    inventory = document or ProductInventory(recorded.partition_key)
    match event:
        case StockAdded() | InventoryOpened() | ItemsRestocked():
            return _stocked(inventory, recorded.version, on_hand=event.quantity)
        case ItemsShipped():
            return _stocked(inventory, recorded.version, on_hand=-event.quantity)
        case StockReserved():
            return _stocked(inventory, recorded.version, reserved=event.quantity)
        case ReservationReleased():
            return _stocked(inventory, recorded.version, reserved=-event.quantity)
        case ReservedItemsShipped():
            return _stocked(inventory, recorded.version, on_hand=-event.quantity, reserved=-event.quantity)
        case StockRecounted():
            return _stocked(inventory, recorded.version, on_hand=event.counted_quantity - inventory.current_stock)
        case ProductAdded():
            return _change(inventory, name=event.name, sku=event.sku)
        case ProductDetailsUpdated():
            return _change(inventory, name=event.name)
        case _:
            assert_never(event)


def is_hidden(document: ProductInventory) -> bool:
    """Until `InventoryOpened` has come, which is the first event of the inventory's stream."""
    return document.version == 0


def _stocked(inventory: ProductInventory, version: int, on_hand: int = 0, reserved: int = 0) -> ProductInventory:
    """With so many pieces more, or fewer."""
    on_hand += inventory.current_stock
    reserved += inventory.reserved
    return _change(
        inventory,
        current_stock=on_hand,
        reserved=reserved,
        available=max(0, on_hand - reserved),
        shortage=max(0, reserved - on_hand),
        version=version,
    )
