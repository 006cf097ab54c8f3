"""From the books to the commands, barrier by barrier. A function of the file alone: no clock, no random, no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid5

from command_service.retail.books import GUEST, Books, Order, sort_into_books
from command_service.retail.left_out import LeftOut, Rule
from command_service.retail.lines import File, Line
from command_service.retail.products import Product, products_of, tidy
from command_service.retail.returns import Return, Undoing
from contracts.money import from_ticks, round_half_up

_NAMESPACE: Final = UUID("0d3b8a52-5f0e-5e0c-9a39-6f5d0c1b7e42")
_WHY_NOT: Final = {
    Rule.NO_ORDER: "No order of this customer in this file, dated not later, has the product",
    Rule.NOT_ENOUGH: "This customer's earlier orders have not so many pieces left that have not come back",
    Rule.OTHER_PRICE: "This customer's earlier orders have not so many pieces left that come back at this price",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command, and what it does to the totals once it has succeeded."""

    id: str
    type: str
    data: dict[str, Any]
    effective_at: str
    line: int
    """Of the file: the first that it stands for."""
    invoice: str
    code: str
    units: int = 0
    """Pieces sold, returned, or found (less than 0: written off)."""
    amount: int = 0
    """Revenue, or a refund as less than 0, in 1/10000."""


@dataclass(frozen=True, slots=True)
class Barrier:
    name: str
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    barriers: tuple[Barrier, ...]
    left_out: tuple[LeftOut, ...]
    imported_lines: dict[str, int]
    """How many lines of the file become what."""
    decisions: dict[str, int]
    """How often a rule had something to decide."""
    rounding: int
    """What rounding totals and refunds adds to the file's amounts, in 1/10000."""


def plan_import(file: File, decimals: int = 2) -> Plan:
    """`decimals`: how many the shop's currency has."""
    books = sort_into_books(file.lines)
    products = products_of(books)
    returns, unmatched, split = _undone(books)
    orders = [_order(order, decimals) for order in books.orders]
    returned = list(_returns(returns, decimals))
    exact = sum(line.amount for order in books.orders for line in order.lines)
    exact -= sum(found.pieces * found.line.price for found in returns)
    return Plan(
        barriers=(
            Barrier("products and opening stock", tuple(_product(product) for product in products)),
            Barrier("price changes", tuple(command for product in products for command in _price_changes(product))),
            Barrier("orders", tuple(command for order in orders for command in order)),
            Barrier("returns", tuple(returned)),
            Barrier("recounts", tuple(_recounts(products, returns, books.stock_notes))),
        ),
        left_out=tuple(sorted((*file.unreadable, *books.left_out, *unmatched), key=lambda left: left.line)),
        imported_lines={
            "lines of orders": sum(len(order.lines) for order in books.orders),
            "returns": len(books.cancelled) - len(unmatched),
            "recounts": len(books.stock_notes),
        },
        decisions=_decisions(file, books, products, split),
        rounding=sum(command.amount for order in orders for command in order)
        + sum(command.amount for command in returned)
        - exact,
    )


@cache
def product_id(sku: str) -> str:
    return _id("product", sku)


def order_id(order: Order) -> str:
    return _id("order", order.invoice, order.part)


def _id(*facts: str | int) -> str:
    """Always the same for the same facts."""
    return str(uuid5(_NAMESPACE, "/".join(str(fact) for fact in facts)))


def _moment(at: datetime) -> str:
    return at.isoformat().removesuffix("+00:00") + "Z"


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _product(product: Product) -> Command:
    return Command(
        _id("AddNewProduct", product.sku),
        "AddNewProduct",
        {
            "id": product_id(product.sku),
            "name": product.name,
            "price": from_ticks(product.price),
            "sku": product.sku,
            "initial_stock": product.opening_stock,
        },
        _midnight(product.since),
        product.line,
        "",
        product.sku,
    )


def _price_changes(product: Product) -> Iterator[Command]:
    for day, price in product.price_changes:
        yield Command(
            _id("ChangePrice", product.sku, day.isoformat()),
            "ChangePrice",
            {"product_id": product_id(product.sku), "price": from_ticks(price)},
            _midnight(day),
            product.line,
            "",
            product.sku,
        )


def _order(order: Order, decimals: int) -> tuple[Command, Command, Command]:
    its_id, facts = order_id(order), (order.invoice, order.part)
    total = round_half_up(sum(line.amount for line in order.lines), decimals)
    units = sum(line.quantity for line in order.lines)
    lines = [
        {"product_id": product_id(line.code), "quantity": line.quantity, "unit_price": from_ticks(line.price)}
        for line in order.lines
    ]
    reference = order.invoice if order.part == 1 else f"{order.invoice}-{order.part}"
    where = (_moment(order.at), order.lines[0].number, order.invoice, "")
    return (
        Command(
            _id("PlaceOrder", *facts),
            "PlaceOrder",
            {"id": its_id, "customer_id": order.customer, "lines": lines},
            *where,
        ),
        Command(
            _id("ConfirmPayment", *facts),
            "ConfirmPayment",
            {"order_id": its_id, "amount": from_ticks(total), "reference": reference},
            *where,
            units=units,
            amount=total,
        ),
        Command(_id("ShipOrder", *facts), "ShipOrder", {"order_id": its_id}, *where),
    )


def _undone(books: Books) -> tuple[list[Return], list[LeftOut], int]:
    """What comes back, the cancelled lines that undo nothing, and how many undo a part of several orders."""
    undoing = Undoing(books.orders)
    returns: list[Return] = []
    unmatched: list[LeftOut] = []
    split = 0
    for line in sorted(books.cancelled, key=lambda line: line.at):
        found = undoing.undo(line)
        if isinstance(found, Rule):
            unmatched.append(LeftOut(line.number, line.invoice, line.written, line.amount, found, _WHY_NOT[found]))
        else:
            returns += found
            split += len(found) > 1
    return returns, unmatched, split


def _returns(returns: list[Return], decimals: int) -> Iterator[Command]:
    """One for each cancellation and order that it undoes.

    The shop rounds what it has refunded for an order in all, not each refund: so do these amounts.
    """
    together: dict[tuple[str, str, int], list[Return]] = {}
    for found in returns:
        together.setdefault((found.line.invoice, found.order.invoice, found.order.part), []).append(found)
    refunded: Counter[str] = Counter()
    for facts, parts in together.items():
        order, line = parts[0].order, parts[0].line
        pieces: Counter[str] = Counter()
        for part in parts:
            pieces[product_id(part.line.code)] += part.pieces
        before = round_half_up(refunded[order_id(order)], decimals)
        refunded[order_id(order)] += sum(part.pieces * part.line.price for part in parts)
        yield Command(
            _id("ReturnItems", *facts),
            "ReturnItems",
            {
                "order_id": order_id(order),
                "lines": [{"product_id": product, "quantity": quantity} for product, quantity in pieces.items()],
                "restock": True,
            },
            _moment(line.at),
            line.number,
            line.invoice,
            "",
            units=sum(pieces.values()),
            amount=before - round_half_up(refunded[order_id(order)], decimals),
        )


def _recounts(products: list[Product], returns: list[Return], notes: Iterable[Line]) -> Iterator[Command]:
    on_hand = Counter({product.sku: product.opening_stock - product.sold for product in products})
    for found in returns:
        on_hand[found.line.code] += found.pieces
    in_its_note: Counter[str] = Counter()
    for line in notes:
        on_hand[line.code] += line.quantity
        in_its_note[line.invoice] += 1
        yield Command(
            _id("UpdateStockFromInventoryRecount", line.invoice, in_its_note[line.invoice]),
            "UpdateStockFromInventoryRecount",
            {
                "product_id": product_id(line.code),
                "counted_quantity": on_hand[line.code],
                "reason": f"{line.invoice} {tidy(line.description)}".strip()[:500],
            },
            _moment(line.at),
            line.number,
            line.invoice,
            line.written,
            units=line.quantity,
        )


def _decisions(file: File, books: Books, products: list[Product], split: int) -> dict[str, int]:
    return {
        "products": len(products),
        "codes that are another in other case": len({line.written for line in file.lines})
        - len({line.code for line in file.lines}),
        "products with more than one description": sum(product.descriptions > 1 for product in products),
        "products named by their code": sum(product.descriptions == 0 for product in products),
        "products never sold at a price": sum(product.price == 0 for product in products),
        "opening pieces": sum(product.opening_stock for product in products),
        "orders": len(books.orders),
        "orders of guests": sum(order.customer == GUEST for order in books.orders),
        "orders that are a further part of an invoice": sum(order.part > 1 for order in books.orders),
        "lines that are gifts": sum(line.price == 0 for order in books.orders for line in order.lines),
        "cancelled lines that undo parts of several orders": split,
    }
