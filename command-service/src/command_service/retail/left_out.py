"""What of the file does not come into the shop, and by which rule."""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """Why a line is not in the shop; the value is its name in the report."""

    UNREADABLE = "can't be read"
    FEE = "fee, no product"
    BAD_DEBT = "bad debt"
    UNKNOWN_INVOICE = "unknown kind of invoice"
    NEGATIVE_PRICE = "negative price"
    NO_PIECES = "no pieces, or fewer than none, in a sale"
    NOTHING_CANCELLED = "cancellation without negative pieces"
    NO_ORDER = "cancellation, no earlier order has it"
    NOT_ENOUGH = "cancellation, earlier orders have not so many left"
    OTHER_PRICE = "cancellation, was sold at another price"
    NOT_DONE = "refused by the service"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One line of the file, or the command that its lines became, that is not in the shop."""

    line: int
    invoice: str
    code: str
    amount: int
    """In 1/10000, signed as in the file; 0 where it can't be read."""
    rule: Rule
    why: str
