"""Random commands about orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .plain_things import Data, Order, text
from .sending import HOWS, NUMBERS, PRICES, REASONS, SOME_PIECES, UNKNOWN, USERS, How, Sending, one_of

PIECES = st.lists(st.tuples(NUMBERS, SOME_PIECES), min_size=1, max_size=3)


@dataclass(frozen=True)
class Wish:
    """A line to be ordered; `expected` ``=`` is the true price. `stated` counts if the order is told afterwards."""

    product: int
    quantity: int
    expected: Any = None
    stated: Any = None


WISHES = st.lists(
    st.builds(
        Wish,
        NUMBERS,
        SOME_PIECES,
        st.sampled_from((None, None, None, "=", "=", "2.5")),
        st.sampled_from((None, None, *PRICES)),
    ),
    min_size=1,
    max_size=4,
)
SENSIBLE = st.lists(st.builds(Wish, st.integers(0, 5), SOME_PIECES, stated=st.sampled_from(PRICES)), min_size=1)
LIVES: tuple[list[int | str], ...] = (
    [6, 6, 1, 1, 6],
    [6, 1, "cancel", 2, 6],
    [6, 2, "none left", 6, "some left", 1, "cancel"],
)
STEPS: st.SearchStrategy[list[int | str]] = st.sampled_from(LIVES) | st.lists(
    st.integers(1, 6) | st.sampled_from((2, 3, "cancel", "none left", "some left")), min_size=1, max_size=5
)
ABOUT_NONE = st.sampled_from(
    (
        ("ConfirmPayment", {"amount": "1", "reference": "a"}),
        ("ShipOrder", {}),
        ("CancelOrder", {}),
        ("ExpireOrder", {}),
        ("ReturnItems", {"lines": [{"product_id": UNKNOWN, "quantity": 1}]}),
    )
)


class TradeInOrders(Sending):
    @rule(how=HOWS, number=NUMBERS, fresh=st.booleans(), customer=USERS, wishes=WISHES)
    def place_any_order(self, how: How, number: int, fresh: bool, customer: str, wishes: list[Wish]) -> None:
        self._place(self._new_order() if fresh else self.order(number), customer, wishes, how)

    @rule(how=HOWS, customer=USERS, wishes=SENSIBLE, paid=st.booleans())
    def place_an_order_that_can_be(self, how: How, customer: str, wishes: list[Wish], paid: bool) -> None:
        """Of what is there, as far as it goes round."""
        can_be: list[Wish] = []
        left = {product_id: self.plain.shelves[product_id].available for product_id in self.plain.products}
        for wish in wishes:
            product_id = self.product(wish.product)
            is_sold = product_id != UNKNOWN and not self.plain.products[product_id].discontinued
            if is_sold and left[product_id] >= wish.quantity:
                left[product_id] -= wish.quantity
                can_be.append(wish)
        if can_be:
            order_id = self._new_order()
            self._place(order_id, customer, can_be, how)
            if paid and order_id in self.plain.orders:
                self._pay(order_id, "=", "a", How())

    @precondition(lambda self: self.plain.orders)
    @rule(
        how=HOWS,
        number=NUMBERS,
        amount=st.sampled_from(("=", "=", "=", *PRICES)),
        reference=st.sampled_from(("a", "b")),
    )
    def confirm_a_payment(self, how: How, number: int, amount: Any, reference: str) -> None:
        self._pay(self.order(number), amount, reference, how)

    @precondition(lambda self: self.plain.orders)
    @rule(how=HOWS, number=NUMBERS, pieces=st.none() | PIECES)
    def ship_any_order(self, how: How, number: int, pieces: list[tuple[int, int]] | None) -> None:
        order_id = self.order(number)
        lines = {} if pieces is None else {"lines": self._pieces(order_id, pieces)}
        self.send("ShipOrder", {"order_id": order_id, **lines}, how)

    @precondition(lambda self: self.plain.orders)
    @rule(how=HOWS, number=NUMBERS, reason=REASONS, expires=st.booleans())
    def cancel_any_order(self, how: How, number: int, reason: str | None, expires: bool) -> None:
        data = {"order_id": self.order(number)}
        if expires:
            self.send("ExpireOrder", data, how)
        else:
            self.send("CancelOrder", {**data, "reason": reason}, how)

    @precondition(lambda self: self.plain.orders)
    @rule(how=HOWS, number=NUMBERS, pieces=PIECES, restock=st.sampled_from(({}, {"restock": True}, {"restock": False})))
    def return_anything(self, how: How, number: int, pieces: list[tuple[int, int]], restock: Data) -> None:
        order_id = self.order(number)
        self.send("ReturnItems", {"order_id": order_id, "lines": self._pieces(order_id, pieces), **restock}, how)

    @precondition(lambda self: self.plain.orders)
    @rule(number=NUMBERS, steps=STEPS, how=HOWS)
    def go_on_with_an_order(self, number: int, steps: list[int | str], how: How) -> None:
        """Its next steps, each with so many pieces of each line; or something comes in between."""
        order_id = self.order(number)
        order = self.plain.orders.get(order_id)
        for step in steps if order is not None else ():
            assert order is not None
            if step == "cancel":
                self.send("CancelOrder", {"order_id": order_id}, how)
            elif isinstance(step, str):
                counted = {"product_id": order.lines[0].product, "counted_quantity": 0 if step == "none left" else 9}
                self.send("UpdateStockFromInventoryRecount", counted, how)
            else:
                self._go_on(order_id, order, step, how)

    @rule(how=HOWS, about=ABOUT_NONE)
    def say_something_about_no_order(self, how: How, about: tuple[str, Data]) -> None:
        kind, data = about
        self.send(kind, {"order_id": UNKNOWN, **data}, how)

    # From here on: no rules

    def _go_on(self, order_id: str, order: Order, share: int, how: How) -> None:
        if order.status == "placed":
            self._pay(order_id, "=", "a", how)
            return
        kind = "ShipOrder" if order.is_open() else "ReturnItems"
        there = [(line, line.to_ship if order.is_open() else line.with_customer) for line in order.lines]
        lines = [{"product_id": line.product, "quantity": min(share, pieces)} for line, pieces in there if pieces]
        if lines:
            self.send(kind, {"order_id": order_id, "lines": lines}, how)

    def _new_order(self) -> str:
        return str(UUID(int=0xABC00 + len(self.plain.orders)))

    def _place(self, order_id: str, customer: str, wishes: Sequence[Wish], how: How) -> None:
        lines = [self._line(wish, how) for wish in wishes]
        self.send("PlaceOrder", {"id": order_id, "customer_id": customer, "lines": lines}, how)

    def _line(self, wish: Wish, how: How) -> Data:
        product_id = self.product(wish.product)
        line: Data = {"product_id": product_id, "quantity": wish.quantity}
        if wish.expected is not None and product_id != UNKNOWN:
            true = text(self.plain.products[product_id].price)
            line["expected_price"] = true if wish.expected == "=" else wish.expected
        if how.day is not None and wish.stated is not None:
            line["unit_price"] = wish.stated
        return line

    def _pay(self, order_id: str, amount: Any, reference: str, how: How) -> None:
        order = self.plain.orders.get(order_id)
        if amount == "=":
            amount = text(order.total) if order is not None else "1"
        self.send("ConfirmPayment", {"order_id": order_id, "amount": amount, "reference": reference}, how)

    def _pieces(self, order_id: str, pieces: Sequence[tuple[int, int]]) -> list[Data]:
        order = self.plain.orders.get(order_id)
        products = list(dict.fromkeys(line.product for line in order.lines)) if order is not None else []
        return [{"product_id": one_of(products, number), "quantity": quantity} for number, quantity in pieces]
