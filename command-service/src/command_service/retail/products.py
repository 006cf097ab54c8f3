"""The products of the books: name, price from day to day, opening stock (rules 9 to 11)."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from command_service.retail.books import Books
from command_service.retail.lines import Line

MAX_NAME: Final = 200
_Value = TypeVar("_Value")
_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Product:
    sku: str
    line: int
    """Of the file, where it first stands."""
    name: str
    since: date
    price: int
    """In 1/10000."""
    price_changes: tuple[tuple[date, int], ...]
    opening_stock: int
    sold: int
    descriptions: int
    """How many different ones the sales have."""


def products_of(books: Books) -> list[Product]:
    """In the order in which they first stand in the file."""
    sold: dict[str, list[Line]] = {}
    noted: dict[str, list[Line]] = {}
    for order in books.orders:
        for line in order.lines:
            sold.setdefault(line.code, []).append(line)
    for line in books.stock_notes:
        noted.setdefault(line.code, []).append(line)
    found = (_product(code, sold.get(code, []), noted.get(code, [])) for code in {**sold, **noted})
    return sorted(found, key=lambda product: product.line)


def _product(code: str, sold: list[Line], noted: list[Line]) -> Product:
    descriptions = Counter(_names(sold))
    prices = list(_prices(sold))
    both = sold + noted
    pieces = sum(line.quantity for line in sold)
    return Product(
        sku=code,
        line=min(line.number for line in both),
        name=_most_frequent(descriptions) if descriptions else code,
        since=min(line.at.date() for line in both),
        price=prices[0][1] if prices else 0,
        price_changes=tuple(prices[1:]),
        opening_stock=pieces + sum(-line.quantity for line in noted if line.quantity < 0),
        sold=pieces,
        descriptions=len(descriptions),
    )


def _names(sold: Iterable[Line]) -> Iterator[str]:
    for line in sold:
        if any(letter.isupper() for letter in line.description):
            yield tidy(line.description)[:MAX_NAME].rstrip()


def tidy(text: str) -> str:
    """White space and control characters as one space."""
    return _SPACE.sub(" ", text).strip()


def _prices(sold: list[Line]) -> Iterator[tuple[date, int]]:
    """The first day's price, then only those that differ from the one before."""
    days: dict[date, Counter[int]] = {}
    for line in sold:
        if line.price > 0:
            days.setdefault(line.at.date(), Counter())[line.price] += 1
    current = None
    for day in sorted(days):
        price = _most_frequent(days[day])
        if price != current:
            yield day, price
            current = price


def _most_frequent(counted: Counter[_Value]) -> _Value:
    """A tie: the one that was counted first."""
    return counted.most_common(1)[0][0]
