"""Pieces left the shelf without an order of this shop."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Pieces, Uuid
from command_service.problems import InsufficientStock
from contracts.events import ItemsShipped

from .inventory import InventoryState, existing, inventory


class ConfirmItemsShipped(Command):
    """`quantity` pieces are gone. Takes only what is available: nothing is oversold."""

    product_id: Uuid
    quantity: Pieces


def decide(command: ConfirmItemsShipped, state: InventoryState) -> Iterable[ItemsShipped]:
    available = existing(state, command.product_id).available
    if command.quantity > available:
        raise InsufficientStock([(command.product_id, command.quantity, available)])
    yield ItemsShipped(quantity=command.quantity)


USE_CASE = on_stream(ConfirmItemsShipped, lambda command: inventory(command.product_id), decide)
