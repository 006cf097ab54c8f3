"""An alert whenever a product's available pieces go from above a threshold to it or below."""

from collections.abc import Iterator
from typing import assert_never, get_args

from pydantic import TypeAdapter

from command_service.processes.manager import ProcessManager, Reaction
from command_service.stock_alerts.domain.record_stock_alert import RecordStockAlert
from contracts.envelope import RecordedEvent
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

Available = int | None
"""Pieces that can be sold; None: the product is not in the shop yet."""


def react(before: Available, event: InventoryEvent, recorded: RecordedEvent, low_stock: int) -> Reaction[Available]:
    after = _available(before or 0, event)
    if before is None:
        return Reaction(after)
    crossed = (threshold for threshold in _thresholds(low_stock) if before > threshold >= after)
    return Reaction(
        after,
        [
            RecordStockAlert(
                product_id=recorded.partition_key,
                threshold=threshold,
                available=after,
                inventory_version=recorded.version,
            )
            for threshold in crossed
        ],
    )


def _thresholds(low_stock: int) -> Iterator[int]:
    """In the order in which falling stock passes them."""
    if low_stock > 0:
        yield low_stock
    yield 0


def _available(before: int, event: InventoryEvent) -> int:
    if isinstance(event, InventoryOpened):
        return event.quantity
    if event.available is not None:
        return event.available
    # From before there were reservations: what can be sold is what is on the shelf.
    match event:
        case StockAdded():
            return before + event.quantity
        case ItemsShipped():
            return max(0, before - event.quantity)
        case StockRecounted():
            return event.counted_quantity
        case StockReserved() | ReservationReleased() | ReservedItemsShipped() | ItemsRestocked():
            return before
        case _:
            assert_never(event)


def stock_alerts(low_stock: int) -> ProcessManager[Available]:
    """Products run low at `low_stock` pieces (0: never), and out at none."""
    return ProcessManager(
        name="stock-alerts",
        follows="inventory",
        concerned=frozenset(get_args(InventoryEvent)),
        initial=None,
        react=lambda state, event, recorded: react(state, event, recorded, low_stock),
        state=TypeAdapter(Available),
    )
