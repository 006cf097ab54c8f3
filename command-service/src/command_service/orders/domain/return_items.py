"""A customer sends back what was shipped."""

from typing import Annotated

from pydantic import Field

from command_service.decider import Aggregate, Command, Decision, States, UseCase
from command_service.fields import Uuid
from command_service.problems import OrderNotReturnable
from contracts.events import OrderItemsReturned

from .filling import ProductLines, fill
from .on_order import on_order
from .order import (
    Cancelled,
    Order,
    Paid,
    Placed,
    order,
    pieces_by_product,
    refund_of,
    with_pieces,
)
from .stock import Shelves


class ReturnItems(Command):
    """`lines` came back and are refunded. `restock` puts them on the shelf again; else they are written off."""

    order_id: Uuid
    lines: ProductLines
    restock: Annotated[bool, Field(strict=True, description="Whether the items can be sold again.")] = True


def decide(command: ReturnItems, current: Order, states: States, shelves: Shelves) -> Decision:
    if isinstance(current, Placed | Paid | Cancelled):
        raise OrderNotReturnable(f"The order is {current.kind}: nothing of it was shipped.")
    returned = fill(current.lines, command.lines, lambda line: line.returnable)
    if isinstance(returned, str):
        raise OrderNotReturnable(f"More of product {returned} is to be returned than was shipped and not returned yet.")
    after = with_pieces(current.lines, returned, "returned")
    event = OrderItemsReturned(lines=tuple(returned), restocked=command.restock, refund=refund_of(current, after))
    restocked = pieces_by_product(current.lines, returned) if command.restock else {}
    return [(order(command.order_id), event), *shelves.restock(states, command.order_id, restocked)]


def use_case(inventories: Aggregate[object]) -> UseCase[ReturnItems]:
    return on_order(ReturnItems, decide, inventories)
