"""Random trade: every command, sensible and not, in every way in which commands come."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from command_service.queue.documents import NotACommand

from .plain_things import Data
from .sending import HOWS, PRICES, UNKNOWN, How
from .trade_in_goods import TradeInGoods
from .trade_in_orders import TradeInOrders
from .write_side import PROCESSES, read

ONE = str(UUID(int=1))
LINE = {"product_id": ONE, "quantity": 1}
NONSENSE = st.sampled_from(
    (
        ("AddNewProduct", {"name": " ", "price": "1"}, {}),
        ("AddNewProduct", {"name": "Chai", "price": "1"}, {"expected_version": 1}),
        ("UpdateProductDetails", {"product_id": ONE}, {}),
        ("ChangePrice", {"product_id": ONE, "price": "-1"}, {}),
        ("ChangePrice", {"product_id": ONE, "price": "0.00001"}, {}),
        ("ChangePrice", {"product_id": ONE, "price": "100000000000"}, {}),
        ("DiscontinueProduct", {"product_id": ONE, "price": "1"}, {}),
        ("RelistProduct", {}, {}),
        ("RateProduct", {"product_id": ONE, "user_id": "ann", "rating": 6}, {}),
        ("WithdrawRating", {"product_id": ONE, "user_id": "a/b"}, {}),
        ("AddToInventory", {"product_id": ONE, "quantity": 0}, {}),
        ("AddToInventory", {"product_id": ONE, "quantity": Decimal("1.5")}, {}),
        ("UpdateStockFromInventoryRecount", {"product_id": ONE, "counted_quantity": -1}, {}),
        ("ConfirmItemsShipped", {"product_id": ONE, "quantity": -1}, {}),
        ("ConfirmItemsShipped", {"product_id": "1", "quantity": 1}, {}),
        ("PlaceOrder", {"customer_id": "ann", "lines": []}, {}),
        ("PlaceOrder", {"customer_id": "ann", "lines": [{**LINE, "quantity": 0}]}, {}),
        ("PlaceOrder", {"customer_id": "ann", "lines": [{**LINE, "unit_price": "1"}]}, {}),
        ("PlaceOrder", {"customer_id": "ann", "lines": [LINE]}, {"effective_at": "2027-01-01T00:00:00Z"}),
        ("PlaceOrder", {"customer_id": "ann", "lines": [LINE] * 1001}, {}),
        ("ConfirmPayment", {"order_id": ONE, "amount": "1", "reference": ""}, {}),
        ("ShipOrder", {"order_id": ONE, "lines": []}, {}),
        ("ShipOrder", {"order_id": ONE, "lines": [{**LINE, "quantity": 1_000_000_001}]}, {}),
        ("CancelOrder", {"order_id": ONE, "reason": 1}, {}),
        ("ReturnItems", {"order_id": ONE}, {}),
        ("ReturnItems", {"order_id": ONE, "lines": [LINE], "restock": "yes"}, {}),
        ("ExpireOrder", {"order_id": None}, {}),
        ("RecordStockAlert", {"product_id": ONE, "threshold": 0, "available": 0, "inventory_version": 0}, {}),
        ("SellEverything", {}, {}),
    )
)
PROCESS = st.integers(0, PROCESSES - 1)


class Trading(TradeInGoods, TradeInOrders):
    def __init__(self) -> None:
        super().__init__()
        self._executed = 0

    @initialize(
        currency=st.sampled_from(("EUR", "EUR", "JPY", "KWD")),
        products=st.lists(st.tuples(st.sampled_from(PRICES), st.integers(0, 40)), min_size=1, max_size=3),
    )
    def a_shop(self, currency: str, products: list[tuple[Any, int]]) -> None:
        self.open(currency)
        for number, (price, stock) in enumerate(products, 1):
            data = {"id": str(UUID(int=number)), "name": f"Product {number}", "price": price, "initial_stock": stock}
            self.send("AddNewProduct", data, How())

    @rule(nonsense=NONSENSE)
    def nonsense_is_no_command(self, nonsense: tuple[str, Data, Data]) -> None:
        kind, data, more = nonsense
        with pytest.raises(NotACommand):
            read({"type": kind, "data": data, "id": "nonsense", **more})

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 50), how=HOWS, altered=st.booleans())
    def the_same_id_comes_again(self, number: int, how: How, altered: bool) -> None:
        document = self.sent[-1 - number % len(self.sent)]
        if altered:
            other: Data = {"type": "AddToInventory", "data": {"product_id": UNKNOWN, "quantity": 99}}
            document = {"id": document["id"], **other}
        self.issue(document, how)

    @precondition(lambda self: self._executed < len(self.side.store.queued))
    @rule(process=PROCESS)
    def a_worker_executes_what_was_accepted(self, process: int) -> None:
        self.settle(process)
        messages = [orjson.loads(message) for message in self.side.store.queued[self._executed :]]
        self._executed += len(messages)
        for message in messages:
            self.execute(message, next(sent for sent in self.sent if sent["id"] == message["id"]))
        self.settle(process)

    @rule(process=PROCESS)
    def a_process_starts_anew(self, process: int) -> None:
        self.settle(process)
        self.side.forget(process)
