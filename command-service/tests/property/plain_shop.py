"""The shop as its rules say, in dicts and ints: the model that the code is held to.

It is written from the rules alone, imports nothing of the code under test, and takes commands as clients send them:
``{"type", "data", "id"}`` and perhaps ``expected_version``, ``effective_at`` and ``assigned_id``.
"""

from collections.abc import Callable
from typing import Any

from .plain_orders import PlainOrders
from .plain_things import Answer, Data, Day, Refused

CREATING = ("AddNewProduct", "PlaceOrder")
INTERNAL = ("ExpireOrder", "RecordStockAlert")


class PlainShop(PlainOrders):
    """`today` is when commands happen that do not say when they did."""

    def __init__(self, currency: str, today: str) -> None:
        super().__init__(currency)
        self.today = today
        self._content: dict[str, Data] = {}
        self._answers: dict[str, Answer] = {}
        self._rules: dict[str, Callable[[Data], None]] = {
            "AddNewProduct": self.add_new_product,
            "UpdateProductDetails": self.update_product_details,
            "ChangePrice": self.change_price,
            "DiscontinueProduct": lambda data: self.list_or_not(data, discontinued=True),
            "RelistProduct": lambda data: self.list_or_not(data, discontinued=False),
            "RateProduct": lambda data: self.rate(data, data["rating"]),
            "WithdrawRating": lambda data: self.rate(data, None),
            "AddToInventory": lambda data: self.stock(data["product_id"], on_hand=data["quantity"]),
            "UpdateStockFromInventoryRecount": self.recount,
            "ConfirmItemsShipped": self.confirm_items_shipped,
            "PlaceOrder": self.place_order,
            "ConfirmPayment": self.confirm_payment,
            "ShipOrder": self.ship_order,
            "CancelOrder": self.cancel_order,
            "ReturnItems": self.return_items,
            "ExpireOrder": self.expire_order,
            "RecordStockAlert": self.record_stock_alert,
        }

    def send(self, document: Data) -> Answer:
        """Runs a command; one whose id came before has its first answer again, or is refused if it is another."""
        command_id = document["id"]
        if self._content.setdefault(command_id, document) != document:
            return Answer("idempotency-key-reused")
        if command_id not in self._answers:
            self._answers[command_id] = self._run(document)
        return self._answers[command_id]

    def accept(self, document: Data) -> Answer:
        """Keeps a command for later."""
        is_the_same = self._content.setdefault(document["id"], document) == document
        return Answer() if is_the_same else Answer("idempotency-key-reused")

    def version(self, kind: str, data: Data) -> int:
        """That of a command's target."""
        return self.versions.get(_target(kind, data), 0)

    def _run(self, document: Data) -> Answer:
        kind, data = document["type"], dict(document["data"])
        if kind in CREATING:
            data.setdefault("id", document.get("assigned_id"))
        date = document.get("effective_at", self.today)[:10]
        self.day = self.days.setdefault(date, Day())
        try:
            self._refuse_missing(kind, data)
            self._refuse_stale(kind, data, document.get("expected_version"))
            self._rules[kind](data)
        except Refused as refused:
            return refused.answer
        return Answer(None, self.version(kind, data), {"id": data["id"]} if kind in CREATING else {})

    def _refuse_missing(self, kind: str, data: Data) -> None:
        """404 comes before all else."""
        if kind in ("AddNewProduct", "RecordStockAlert"):
            return
        if kind == "PlaceOrder":
            if any(line["product_id"] not in self.products for line in data["lines"]):
                raise Refused("product-not-found")
        elif "order_id" in data:
            if data["order_id"] not in self.orders:
                raise Refused("order-not-found")
        elif data["product_id"] not in self.products:
            raise Refused("product-not-found")

    def _refuse_stale(self, kind: str, data: Data, expected: Any) -> None:
        """412 comes before 409."""
        if expected == "*":
            if "user_id" in data and (data["product_id"], data["user_id"]) not in self.ratings:
                raise Refused("version-mismatch")
        elif expected is not None and self.version(kind, data) != expected:
            raise Refused("version-mismatch")


def _target(kind: str, data: Data) -> str:
    if kind == "AddNewProduct":
        return f"product-{data['id']}"
    if kind == "PlaceOrder":
        return f"order-{data['id']}"
    if "order_id" in data:
        return f"order-{data['order_id']}"
    if "user_id" in data:
        return f"rating-{data['product_id']}-{data['user_id']}"
    if kind == "RecordStockAlert":
        return f"stockalert-{data['product_id']}"
    inventory = ("AddToInventory", "UpdateStockFromInventoryRecount", "ConfirmItemsShipped")
    return f"{'inventory' if kind in inventory else 'product'}-{data['product_id']}"
