"""Which order a cancelled line undoes (rule 8)."""

from collections.abc import Iterable
from dataclasses import dataclass

from command_service.retail.books import Order
from command_service.retail.left_out import Rule
from command_service.retail.lines import Line


@dataclass(frozen=True, slots=True)
class Return:
    """So many pieces of a product of an order came back, at the price of the cancelled line."""

    order: Order
    line: Line
    pieces: int


@dataclass(slots=True)
class _Left:
    pieces: int
    price: int


class _Bought:
    """The pieces of one product in one order that have not come back, line by line."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.left: list[_Left] = []

    def pieces(self) -> int:
        return sum(line.pieces for line in self.left)

    def pieces_at(self, price: int) -> int:
        """How many would come back at that price: up to the first piece with another one."""
        found = 0
        for line in self.left:
            if line.pieces and line.price != price:
                break
            found += line.pieces
        return found

    def take(self, pieces: int) -> None:
        for line in self.left:
            taken = min(pieces, line.pieces)
            line.pieces -= taken
            pieces -= taken


class Undoing:
    """Finds the orders of cancelled lines; remembers what came back, so that no piece comes back twice."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self._bought: dict[tuple[str, str], list[_Bought]] = {}
        for order in sorted(orders, key=lambda order: order.at):
            for line in order.lines:
                of_it = self._bought.setdefault((order.customer, line.code), [])
                if not of_it or of_it[-1].order is not order:
                    of_it.append(_Bought(order))
                of_it[-1].left.append(_Left(line.quantity, line.price))

    def undo(self, line: Line) -> list[Return] | Rule:
        """What comes back by this line, or why nothing does. Lines are to be given by date."""
        earlier = [bought for bought in self._bought.get((line.customer, line.code), ()) if bought.order.at <= line.at]
        earlier.reverse()
        wanted = -line.quantity
        whole = next((bought for bought in earlier if bought.pieces_at(line.price) >= wanted), None)
        several = [whole] if whole else [bought for bought in earlier if bought.pieces_at(line.price)]
        if sum(bought.pieces_at(line.price) for bought in several) < wanted:
            return _refusal(earlier, wanted)
        found = []
        for bought in several:
            pieces = min(wanted, bought.pieces_at(line.price))
            if pieces:
                bought.take(pieces)
                found.append(Return(bought.order, line, pieces))
                wanted -= pieces
        return found


def _refusal(earlier: list[_Bought], wanted: int) -> Rule:
    if not earlier:
        return Rule.NO_ORDER
    return Rule.OTHER_PRICE if sum(bought.pieces() for bought in earlier) >= wanted else Rule.NOT_ENOUGH
