"""The commands and products that both sides get: made from their numbers, the same on every machine and in every
run.

A command is a document as `POST /commands` takes it. What peers are given is the same list.
"""

import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

CATEGORIES: Final = 50
PLENTY: Final = 1_000_000_000
"""Pieces, so that no order finds too few."""

_ADDED_FIRST: Final = 200
"""So many products are there before any is changed; the newest ones are left alone for as long."""

_SYLLABLES: Final = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu")

Command = dict[str, Any]


def identifier(series: int, number: int) -> str:
    """A UUID in the form and the order of version 7, as a server would make them one after the other."""
    high = (0x019A << 32 | series) << 16 | 0x7000 | (number >> 48 & 0xFFF)
    return str(uuid.UUID(int=high << 64 | 0b10 << 62 | number))


def _word(number: int, syllables: int) -> str:
    parts = []
    for _ in range(syllables):
        number, digit = divmod(number, len(_SYLLABLES))
        parts.append(_SYLLABLES[digit])
    return "".join(parts).capitalize()


def category(number: int) -> str:
    return f"Category {number % CATEGORIES}"


def name(number: int) -> str:
    """Two words out of 500 each, and a number: every word is shared by one product in 500."""
    return f"{_word(number * 7919 % 500, 3)} {_word(number * 104729 % 500, 4)} {number}"


def price(number: int) -> str:
    """From 1.00 to 999.99, spread evenly."""
    cents = 100 + number * 7919 % 99_900
    return f"{cents // 100}.{cents % 100:02}"


def product(series: int, number: int) -> dict[str, Any]:
    """What `AddNewProduct` takes."""
    return {
        "id": identifier(series, number),
        "name": name(number),
        "price": price(number),
        "category": category(number),
        "initial_stock": 10 + number % 90,
    }


def mixed(count: int, series: int = 1) -> Iterator[Command]:
    """A tenth adds products; the rest, a third each, changes prices, adds stock and rates."""
    random = Random(series)
    added = 0
    for n in range(count):
        if n < _ADDED_FIRST or n % 10 == 0:
            yield {"type": "AddNewProduct", "data": product(series, added)}
            added += 1
        else:
            yield _change(n, identifier(series, random.randrange(max(1, added - _ADDED_FIRST // 2))))


def _change(n: int, product_id: str) -> Command:
    if n % 3 == 0:
        return {"type": "ChangePrice", "data": {"product_id": product_id, "price": price(n)}}
    if n % 3 == 1:
        return {"type": "AddToInventory", "data": {"product_id": product_id, "quantity": 1 + n % 9}}
    data = {"product_id": product_id, "user_id": f"user{n % 997}", "rating": 1 + n % 5}
    return {"type": "RateProduct", "data": data}


def catalogue(first: int, last: int, ratings: int = 3, series: int = 1) -> Iterator[Command]:
    """The products with these numbers (`last` not among them), each with so many ratings."""
    for number in range(first, last):
        data = product(series, number)
        yield {"type": "AddNewProduct", "data": data}
        for user in range(ratings):
            rating = {"product_id": data["id"], "user_id": f"user{user}", "rating": stars(number, user)}
            yield {"type": "RateProduct", "data": rating}


def stocked(count: int, series: int = 1) -> Iterator[Command]:
    """Products with more pieces than anybody will order."""
    for number in range(count):
        yield {"type": "AddNewProduct", "data": {**product(series, number), "initial_stock": PLENTY}}


def stars(number: int, user: int) -> int:
    """How a user rates a product of the catalogue."""
    return 1 + (number + user) % 5


def identified(commands: Iterator[Command], prefix: str) -> Iterator[Command]:
    """The same commands, each with an id of its own, as the broker's messages need them."""
    for number, command in enumerate(commands):
        yield {**command, "id": f"{prefix}-{number}"}


WORKLOADS: Final[dict[str, Callable[..., Iterator[Command]]]] = {
    "mixed": mixed,
    "catalogue": catalogue,
    "stocked": stocked,
}
