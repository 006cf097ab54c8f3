"""Goods came in."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Pieces, Reason, Uuid
from contracts.events import StockAdded

from .inventory import InventoryState, existing, inventory


class AddToInventory(Command):
    """`quantity` pieces more are on the shelf."""

    product_id: Uuid
    quantity: Pieces
    reason: Reason | None = None


def decide(command: AddToInventory, state: InventoryState) -> Iterable[StockAdded]:
    after = existing(state, command.product_id).change(on_hand=command.quantity)
    yield StockAdded(available=after.available, quantity=command.quantity, reason=command.reason)


USE_CASE = on_stream(AddToInventory, lambda command: inventory(command.product_id), decide)
