"""The lines sorted into the shop's books: orders, cancellations, stock notes, and what is left out (rules 4 to 7)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final, assert_never

from command_service.retail.left_out import LeftOut, Rule
from command_service.retail.lines import Line

GUEST: Final = "guest"
MAX_ORDER_LINES: Final = 1000

FEES: Final = {
    "POST": "postage",
    "DOT": "postage of the web shop",
    "C2": "carriage",
    "C3": "carriage",
    "M": "manual entry",
    "D": "discount",
    "BANK CHARGES": "bank charges",
    "AMAZONFEE": "marketplace fee",
    "S": "samples",
    "CRUK": "commission",
}
FEES_BY_BEGINNING: Final = {"GIFT_": "gift voucher", "ADJUST": "adjustment", "TEST": "test"}

_INVOICE: Final = re.compile(r"([A-Za-z]*)[0-9]+")


class Kind(Enum):
    """What an invoice is."""

    SALE = "sale"
    STOCK_NOTE = "stock note"
    CANCELLATION = "cancellation"
    BAD_DEBT = "bad debt"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """A sale, or 1,000 lines of a greater one: its `part`, counted from 1."""

    invoice: str
    part: int
    customer: str
    at: datetime
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """Each in the order of the file. The lines' date and customer are their invoice's."""

    orders: tuple[Order, ...]
    cancelled: tuple[Line, ...]
    stock_notes: tuple[Line, ...]
    left_out: tuple[LeftOut, ...]


def fee(code: str) -> str | None:
    """What a code that is no product stands for."""
    return FEES.get(code) or next((what for start, what in FEES_BY_BEGINNING.items() if code.startswith(start)), None)


def kind_of(invoice: list[Line]) -> Kind:
    number = _INVOICE.fullmatch(invoice[0].invoice)
    match number and number[1].upper():
        case "C":
            return Kind.CANCELLATION
        case "A":
            return Kind.BAD_DEBT
        case "" if not invoice[0].customer and all(line.price == 0 for line in invoice):
            return Kind.STOCK_NOTE
        case "":
            return Kind.SALE
        case _:
            return Kind.UNKNOWN


def sort_into_books(lines: Iterable[Line]) -> Books:
    invoices: dict[str, list[Line]] = {}
    for line in lines:
        invoices.setdefault(line.invoice, []).append(line)
    orders: list[Order] = []
    cancelled: list[Line] = []
    notes: list[Line] = []
    left_out: list[LeftOut] = []
    for invoice in invoices.values():
        kind = kind_of(invoice)
        taken: list[Line] = []
        for line in invoice:
            refusal = _refusal(kind, line)
            if refusal is None:
                taken.append(replace(line, at=invoice[0].at, customer=invoice[0].customer or GUEST))
            else:
                left_out.append(LeftOut(line.number, line.invoice, line.written, line.amount, *refusal))
        match kind:
            case Kind.SALE:
                orders.extend(_orders(taken))
            case Kind.CANCELLATION:
                cancelled.extend(taken)
            case Kind.STOCK_NOTE:
                notes.extend(taken)
            case Kind.BAD_DEBT | Kind.UNKNOWN:
                assert not taken
            case _:
                assert_never(kind)
    return Books(tuple(orders), tuple(cancelled), tuple(notes), tuple(left_out))


def _refusal(kind: Kind, line: Line) -> tuple[Rule, str] | None:
    """The rule by which the line is left out, and why."""
    if kind is Kind.BAD_DEBT:
        return Rule.BAD_DEBT, "The invoice adjusts bad debt"
    what = fee(line.code)
    if what is not None:
        return Rule.FEE, f"{line.code}: {what}"
    if kind is Kind.UNKNOWN:
        return Rule.UNKNOWN_INVOICE, "The invoice number is neither digits, nor C or A and digits"
    if line.price < 0:
        return Rule.NEGATIVE_PRICE, "The price is less than 0"
    if kind is Kind.CANCELLATION and line.quantity >= 0:
        return Rule.NOTHING_CANCELLED, "A cancellation takes pieces back: expected less than 0"
    if kind is Kind.SALE and line.quantity <= 0:
        return Rule.NO_PIECES, "Neither a cancellation (C…) nor a stock note (no customer, only price 0)"
    return None


def _orders(lines: list[Line]) -> Iterator[Order]:
    for start in range(0, len(lines), MAX_ORDER_LINES):
        part = lines[start : start + MAX_ORDER_LINES]
        yield Order(part[0].invoice, start // MAX_ORDER_LINES + 1, part[0].customer, part[0].at, tuple(part))
