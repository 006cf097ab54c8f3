"""Random commands about products, ratings and stock."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule

from .plain_things import Data
from .sending import HOWS, NUMBERS, PRICES, REASONS, SOME_PIECES, UNKNOWN, USERS, How, Sending

NAMES = st.sampled_from(("Chai", "Crème brûlée", "Tea"))
CATEGORIES = st.sampled_from(("x", "y", None))
DESCRIPTIONS = st.sampled_from(("good", "better", None))
AMOUNTS = st.sampled_from((*PRICES, "99999999999.9999"))

ADDED = st.fixed_dictionaries(
    {"name": NAMES, "price": AMOUNTS},
    optional={
        "sku": st.sampled_from(("A", "B", "a")),
        "category": CATEGORIES,
        "description": DESCRIPTIONS,
        "initial_stock": st.integers(0, 30),
    },
)
CHANGES: st.SearchStrategy[tuple[str, Data]] = st.one_of(
    st.fixed_dictionaries({}, optional={"name": NAMES, "category": CATEGORIES, "description": DESCRIPTIONS}).map(
        lambda details: ("UpdateProductDetails", details or {"name": "Chai"})
    ),
    AMOUNTS.map(lambda price: ("ChangePrice", {"price": price})),
    st.sampled_from((("RelistProduct", {}), ("RelistProduct", {}), ("DiscontinueProduct", {}))),
)
OPINIONS = st.one_of(
    st.tuples(USERS, st.integers(1, 5)).map(lambda its: ("RateProduct", {"user_id": its[0], "rating": its[1]})),
    USERS.map(lambda user: ("WithdrawRating", {"user_id": user})),
)
MOVES = st.one_of(
    st.tuples(st.integers(1, 30), REASONS).map(lambda its: ("AddToInventory", {"quantity": its[0], "reason": its[1]})),
    st.tuples(st.integers(0, 12), REASONS).map(
        lambda its: ("UpdateStockFromInventoryRecount", {"counted_quantity": its[0], "reason": its[1]})
    ),
    SOME_PIECES.map(lambda quantity: ("ConfirmItemsShipped", {"quantity": quantity})),
)
CROSSINGS = st.tuples(st.sampled_from((0, 5)), st.integers(1, 9)).map(
    lambda its: ("RecordStockAlert", {"threshold": its[0], "available": its[0], "inventory_version": its[1]})
)


class TradeInGoods(Sending):
    @rule(how=HOWS, fresh=st.booleans(), number=NUMBERS, added=ADDED, twins=st.booleans())
    def add_a_product(self, how: How, fresh: bool, number: int, added: Data, twins: bool) -> None:
        """Twins come in one batch, and only one of them can have the SKU."""
        if twins:
            self._add(self._new_product(), added, replace(how, together=True))
        self._add(self._new_product() if fresh else self.product(number), added, how)

    @rule(how=HOWS, number=NUMBERS, change=st.one_of(CHANGES, OPINIONS, CROSSINGS))
    def say_something_about_a_product(self, how: How, number: int, change: tuple[str, Any]) -> None:
        kind, data = change
        self.send(kind, {"product_id": self.product(number), **data}, how)

    @rule(how=HOWS, number=NUMBERS, move=MOVES)
    def move_stock(self, how: How, number: int, move: tuple[str, Any]) -> None:
        kind, data = move
        self.send(kind, {"product_id": self.product(number), **data}, how)

    @rule(how=HOWS, number=NUMBERS, too_many=st.integers(0, 1))
    def take_all_that_is_available(self, how: How, number: int, too_many: int) -> None:
        """Or one more, which may well be on the shelf, but somebody else's."""
        product_id = self.product(number)
        available = self.plain.shelves[product_id].available if product_id != UNKNOWN else 0
        self.send("ConfirmItemsShipped", {"product_id": product_id, "quantity": max(1, available + too_many)}, how)

    # From here on: no rules

    def _new_product(self) -> str:
        return str(UUID(int=len(self.plain.products) + 1))

    def _add(self, product_id: str, added: Data, how: How) -> None:
        self.send("AddNewProduct", {"id": product_id, **added}, how)
