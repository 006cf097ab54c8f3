"""What the plain shop is made of: answers, products, shelves, orders and days, in dicts and ints.

Nothing of the code under test is imported.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Data = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a command's sender hears: the target's version, or which rule said no, and what it said about it."""

    problem: str | None = None
    version: int = 0
    says: Data = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, problem: str, **says: Any) -> None:
        super().__init__(problem)
        self.answer = Answer(problem, says=says)


@dataclass
class Product:
    name: str
    description: str | None
    category: str | None
    price: Decimal
    sku: str | None
    discontinued: bool = False


@dataclass
class Shelf:
    on_hand: int
    reserved: int = 0

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved if self.on_hand > self.reserved else 0

    @property
    def shortage(self) -> int:
        return self.reserved - self.on_hand if self.reserved > self.on_hand else 0


@dataclass
class Line:
    product: str
    name: str
    quantity: int
    price: Decimal
    shipped: int = 0
    returned: int = 0
    cancelled: int = 0

    @property
    def to_ship(self) -> int:
        return self.quantity - self.shipped - self.cancelled

    @property
    def with_customer(self) -> int:
        return self.shipped - self.returned


@dataclass
class Order:
    customer: str
    lines: list[Line]
    total: Decimal
    status: str = "placed"
    payment: tuple[Decimal, str] | None = None
    refunds: list[Decimal] = field(default_factory=list)
    reason: str | None = None

    def is_open(self) -> bool:
        """Whether it may have reservations."""
        return self.status in ("placed", "paid", "partially_shipped")

    def settle_status(self) -> None:
        """The status of an order of which something was shipped."""
        if any(line.to_ship for line in self.lines):
            self.status = "partially_shipped"
        elif all(line.returned == 0 for line in self.lines):
            self.status = "shipped"
        else:
            self.status = "partially_returned" if any(line.with_customer for line in self.lines) else "returned"


@dataclass
class Day:
    """What `GET /sales/daily` says of one day."""

    orders: int = 0
    units: int = 0
    revenue: Decimal = Decimal(0)
    cancelled_orders: int = 0
    returned_units: int = 0
    refunds: Decimal = Decimal(0)


def text(amount: Decimal) -> str:
    """Money as the contract writes it: at least 2 decimals, no further trailing zeros."""
    whole, _, digits = format(amount, "f").partition(".")
    return f"{whole}.{digits.rstrip('0'):0<2}"


def pieces_by_product(lines: Iterable[tuple[Line, int]]) -> dict[str, int]:
    """Product → how many, of (line, how many) pairs; in the order of the lines, none of which there are none."""
    summed: dict[str, int] = {}
    for line, quantity in lines:
        if quantity:
            summed[line.product] = summed.get(line.product, 0) + quantity
    return summed


def fill(lines: list[Line], wanted: list[Data], room: Callable[[Line], int]) -> list[int] | None:
    """How many pieces of each line, taken one by one from the first line that has one; None when there are too few."""
    taken = [0] * len(lines)
    for one in wanted:
        for _ in range(one["quantity"]):
            for number, line in enumerate(lines):
                if line.product == one["product_id"] and room(line) > taken[number]:
                    taken[number] += 1
                    break
            else:
                return None
    return taken
