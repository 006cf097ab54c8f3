"""`ProductInventory`: a product's stock, from its inventory's events and, for name and SKU, the product's."""

from typing import Final, assert_never

from contracts.documents import ProductInventory
from contracts.envelope import RecordedEvent
from contracts.events import (
    InventoryEvent,
    InventoryOpened,
    ItemsShipped,
    ProductAdded,
    ProductDetailsUpdated,
    StockAdded,
    StockRecounted,
)
from projector.projections.changing import changing

Handled = ProductAdded | ProductDetailsUpdated | InventoryEvent

_change: Final = changing(ProductInventory)


def project(document: ProductInventory | None, event: Handled, recorded: RecordedEvent) -> ProductInventory:
    """The stock after `event`. `version` belongs to the inventory's stream, name and SKU to the product's."""
    inventory = document or ProductInventory(recorded.partition_key)
    match event:
        case StockAdded() | InventoryOpened():
            return _on_shelf(inventory, inventory.current_stock + event.quantity, recorded.version)
        case ItemsShipped():
            return _on_shelf(inventory, inventory.current_stock - event.quantity, recorded.version)
        case StockRecounted():
            return _on_shelf(inventory, event.counted_quantity, recorded.version)
        case ProductAdded():
            return _change(inventory, name=event.name, sku=event.sku)
        case ProductDetailsUpdated():
            return _change(inventory, name=event.name)
        case _:
            assert_never(event)


def is_hidden(document: ProductInventory) -> bool:
    """Until `InventoryOpened` has come, which is the first event of the inventory's stream."""
    return document.version == 0


def _on_shelf(inventory: ProductInventory, pieces: int, version: int) -> ProductInventory:
    return _change(
        inventory,
        current_stock=pieces,
        available=max(0, pieces - inventory.reserved),
        shortage=max(0, inventory.reserved - pieces),
        version=version,
    )
