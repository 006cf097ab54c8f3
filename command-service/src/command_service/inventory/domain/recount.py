"""Somebody counted the shelf, and the shelf is the truth."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Count, Reason, Uuid
from contracts.events import StockRecounted

from .inventory import Inventory, InventoryState, existing, inventory


class UpdateStockFromInventoryRecount(Command):
    """There are `counted_quantity` pieces. Recorded even when that is what was believed: the count happened.

    Fewer than orders have reserved is a shortage: recorded and shown, because the shelf is the truth.
    """

    product_id: Uuid
    counted_quantity: Count
    reason: Reason | None = None


def decide(command: UpdateStockFromInventoryRecount, state: InventoryState) -> Iterable[StockRecounted]:
    current = existing(state, command.product_id)
    after = Inventory(command.counted_quantity, current.reserved)
    yield StockRecounted(
        available=after.available,
        counted_quantity=command.counted_quantity,
        previous_quantity=current.on_hand,
        shortage=after.shortage,
        reason=command.reason,
    )


USE_CASE = on_stream(UpdateStockFromInventoryRecount, lambda command: inventory(command.product_id), decide)
