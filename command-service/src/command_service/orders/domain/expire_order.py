"""An order's payment deadline has passed. Internal: only the process manager of payment deadlines sends it."""

from command_service.decider import Aggregate, Command, Decision, States, UseCase
from command_service.fields import Uuid
from contracts.events import OrderExpired

from .filling import all_left
from .on_order import on_order
from .order import Order, Placed, order, pieces_by_product
from .stock import Shelves


class ExpireOrder(Command):
    """Cancels the order if it still waits to be paid; does nothing otherwise, so that it may come late, or twice."""

    order_id: Uuid


def decide(command: ExpireOrder, current: Order, states: States, shelves: Shelves) -> Decision:
    if not isinstance(current, Placed):
        return []
    freed = pieces_by_product(current.lines, all_left(current.lines))
    return [(order(command.order_id), OrderExpired()), *shelves.release(states, command.order_id, freed)]


def use_case(inventories: Aggregate[object]) -> UseCase[ExpireOrder]:
    return on_order(ExpireOrder, decide, inventories)
