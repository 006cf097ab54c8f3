"""What clients send who trade in a few products and orders, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from hypothesis import strategies as st

from .plain_shop import PlainShop
from .plain_things import Data, text
from .write_side import TODAY

PRICE: Final = Decimal("1.125")
PRODUCTS: Final = 2
ORDERS: Final = 4


@dataclass(frozen=True)
class Step:
    """One command of one client. `twice`: it comes through both processes at once; `queued`: accepted before that."""

    kind: str
    order: int
    product: int
    quantity: int
    process: int
    twice: bool
    queued: bool


KINDS = (
    *("PlaceOrder", "PlaceOrder", "ConfirmPayment", "ConfirmPayment", "ShipOrder", "ShipOrder", "ShipSome"),
    *("CancelOrder", "ExpireOrder", "ReturnItems", "AddToInventory", "ConfirmItemsShipped"),
    *("UpdateStockFromInventoryRecount", "ChangePrice"),
)
STEPS = st.builds(
    Step,
    st.sampled_from(KINDS),
    st.integers(0, ORDERS - 1),
    st.integers(0, PRODUCTS - 1),
    st.integers(1, 4),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from((False, False, True)),
)
LINES = st.lists(st.tuples(st.integers(0, PRODUCTS - 1), st.integers(1, 4)), min_size=1, max_size=3)
"""What an order is for: products by number, and how many pieces."""


@dataclass(frozen=True)
class Documents:
    """Commands as they are sent; `lines` of each order."""

    products: Sequence[str]
    orders: Sequence[str]
    lines: Sequence[Sequence[tuple[int, int]]]

    def of(self, step: Step) -> Data:
        order_id, product_id = self.orders[step.order], self.products[step.product]
        pieces = [{"product_id": product_id, "quantity": step.quantity}]
        of_product, of_order = {"product_id": product_id}, {"order_id": order_id}
        match step.kind:
            case "PlaceOrder":
                data: Data = {"id": order_id, "customer_id": "ann", "lines": self._lines(step.order)}
            case "ConfirmPayment":
                data = {**of_order, "amount": self._total(step.order), "reference": "r"}
            case "ShipSome":
                return {"type": "ShipOrder", "data": {**of_order, "lines": pieces}}
            case "ReturnItems":
                data = {**of_order, "lines": pieces}
            case "ShipOrder" | "CancelOrder" | "ExpireOrder":
                data = of_order
            case "ChangePrice":
                data = {**of_product, "price": f"{step.quantity}.005"}
            case "UpdateStockFromInventoryRecount":
                data = {**of_product, "counted_quantity": step.quantity}
            case _:
                data = {**of_product, "quantity": step.quantity}
        return {"type": step.kind, "data": data}

    def adding(self, product: int, stock: int) -> Data:
        """The command that adds a product in the first place."""
        data = {"id": self.products[product], "name": "Chai", "price": text(PRICE), "initial_stock": stock}
        return {"type": "AddNewProduct", "data": data}

    def _lines(self, order: int) -> list[Data]:
        return [{"product_id": self.products[n], "quantity": quantity} for n, quantity in self.lines[order]]

    def _total(self, order: int) -> str:
        exact = sum(quantity for _, quantity in self.lines[order]) * PRICE
        return text(PlainShop("EUR", TODAY.isoformat()).round(exact))
