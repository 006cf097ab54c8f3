"""Products and how many of them, as a command names them, become pieces of an order's lines."""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from command_service.fields import Pieces, Uuid
from contracts.events import LinePieces

from .order import Line

MAX_LINES = 1000


class ProductPieces(BaseModel):
    """So many pieces of a product of the order, from whichever of its lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_id: Uuid
    quantity: Pieces


ProductLines = Annotated[tuple[ProductPieces, ...], Field(min_length=1, max_length=MAX_LINES)]


def fill(lines: Sequence[Line], wanted: Sequence[ProductPieces], room: Callable[[Line], int]) -> list[LinePieces] | str:
    """The wanted pieces, from the first lines that have room for them; or the product of which there is not enough."""
    left = [room(line) for line in lines]
    holding: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        holding.setdefault(line.product_id, []).append(number)
    taken: dict[int, int] = {}
    for one in wanted:
        missing = one.quantity
        for number in holding.get(one.product_id, ()):
            pieces = min(missing, left[number])
            left[number] -= pieces
            missing -= pieces
            taken[number] = taken.get(number, 0) + pieces
        if missing:
            return one.product_id
    return [LinePieces(line=number, quantity=pieces) for number, pieces in sorted(taken.items()) if pieces]


def all_left(lines: Sequence[Line]) -> list[LinePieces]:
    """Whatever is still to be shipped."""
    return [LinePieces(line=number, quantity=line.left) for number, line in enumerate(lines) if line.left]
