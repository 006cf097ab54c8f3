"""The plain shop's products, ratings and stock: what each command does to them, once it is let in."""

from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from .plain_things import Data, Day, Order, Product, Refused, Shelf


class PlainGoods:
    """Everything that there is, and the rules of the commands about goods. A rule refuses before it changes."""

    def __init__(self) -> None:
        self.products: dict[str, Product] = {}
        self.shelves: dict[str, Shelf] = {}
        self.ratings: dict[tuple[str, str], int] = {}
        self.orders: dict[str, Order] = {}
        self.alerts: dict[str, dict[str, int]] = {}
        self.days: dict[str, Day] = {}
        self.versions: dict[str, int] = {}
        self.day = Day()
        """The one on which the command happens."""

    def happened(self, stream: str) -> None:
        self.versions[stream] = self.versions.get(stream, 0) + 1

    def add_new_product(self, data: Data) -> None:
        product_id, sku = data["id"], data.get("sku")
        if product_id in self.products:
            raise Refused("product-exists")
        if sku is not None and any(product.sku == sku for product in self.products.values()):
            raise Refused("sku-taken")
        details = (data["name"], data.get("description"), data.get("category"))
        self.products[product_id] = Product(*details, Decimal(data["price"]), sku)
        self.shelves[product_id] = Shelf(data.get("initial_stock", 0))
        self.happened(f"product-{product_id}")
        self.happened(f"inventory-{product_id}")

    def update_product_details(self, data: Data) -> None:
        self._change_product(data, **{name: value for name, value in data.items() if name != "product_id"})

    def change_price(self, data: Data) -> None:
        self._change_product(data, price=Decimal(data["price"]))

    def list_or_not(self, data: Data, *, discontinued: bool) -> None:
        self._change_product(data, discontinued=discontinued)

    def _change_product(self, data: Data, **changes: Any) -> None:
        product = self.products[data["product_id"]]
        before = asdict(product)
        for name, value in changes.items():
            setattr(product, name, value)
        if asdict(product) != before:
            self.happened(f"product-{data['product_id']}")

    def rate(self, data: Data, rating: int | None) -> None:
        rated = (data["product_id"], data["user_id"])
        if self.ratings.get(rated) == rating:
            return
        if rating is None:
            del self.ratings[rated]
        else:
            self.ratings[rated] = rating
        self.happened(f"rating-{rated[0]}-{rated[1]}")

    def stock(self, product_id: str, *, on_hand: int = 0, reserved: int = 0) -> None:
        shelf = self.shelves[product_id]
        shelf.on_hand += on_hand
        shelf.reserved += reserved
        self.happened(f"inventory-{product_id}")

    def recount(self, data: Data) -> None:
        shelf = self.shelves[data["product_id"]]
        self.stock(data["product_id"], on_hand=data["counted_quantity"] - shelf.on_hand)

    def confirm_items_shipped(self, data: Data) -> None:
        self.refuse_short({data["product_id"]: data["quantity"]}, lambda shelf: shelf.available)
        self.stock(data["product_id"], on_hand=-data["quantity"])

    def refuse_short(self, pieces: dict[str, int], there: Callable[[Shelf], int]) -> None:
        short = [
            {"product_id": product_id, "requested": quantity, "available": there(self.shelves[product_id])}
            for product_id, quantity in pieces.items()
            if quantity > there(self.shelves[product_id])
        ]
        if short:
            raise Refused("insufficient-stock", lines=short)

    def record_stock_alert(self, data: Data) -> None:
        recorded = self.alerts.setdefault(data["product_id"], {"out": 0, "low": 0})
        which = "low" if data["threshold"] else "out"
        if data["inventory_version"] > recorded[which]:
            recorded[which] = data["inventory_version"]
            self.happened(f"stockalert-{data['product_id']}")
