"""One client: changes products that are its own and orders what anyone sells, and knows what must be shown of both.

It alone writes what is its own, one command after the other, so after each answer it knows the state exactly; only
stock is shared, and an order that isn't paid in time expires by itself.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from chaos.reading import Reading
from chaos.record import Record, Sent
from chaos.sending import Sending

MOST_PRODUCTS: Final = 120
"""Of one client: a run's data grows with its orders, not without end."""

WORDS: Final = ("Chai", "Côte de Blaye", "iPhone 15 Pro", "Ravioli Angelo", "WH-1000XM4", "Sir Rodney's Marmalade")


@dataclass(slots=True)
class Product:
    """What its owner knows of it: details exactly, of its stock the least version."""

    id: str
    word: str
    category: str
    name: str
    price: str
    version: int
    token: str
    is_discontinued: bool = False
    rating: int | None = None
    stock_version: int = 1
    stock_token: str = ""
    etag: str | None = None


@dataclass(slots=True)
class Order:
    id: str
    lines: dict[str, int]
    customer: str
    token: str
    status: str = "placed"
    version: int = 1
    is_abandoned: bool = False
    """Never paid: it must expire."""
    shipped: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    is_over: bool = False


@dataclass(slots=True)
class Street:
    """What clients see of each other: products on sale, and promises that were made to others."""

    products: list[str] = field(default_factory=list)
    promises: deque[tuple[str, str, str, int]] = field(default_factory=lambda: deque(maxlen=50))
    """Path, stream, token, version."""


class Client:
    def __init__(
        self, number: int, sending: Sending, reading: Reading, record: Record, street: Street, random: Random
    ) -> None:
        self._number = number
        self._send = sending.send
        self._read = reading
        self._record = record
        self._street = street
        self._random = random
        self._user = f"user{number}"
        self._products: list[Product] = []
        self._orders: list[Order] = []
        self._placed = 0
        self._actions: dict[Callable[[], Awaitable[None]], int] = {
            self._add_product: 6,
            self._change_price: 12,
            self._rename: 6,
            self._turn_on_or_off: 3,
            self._rate: 10,
            self._move_stock: 12,
            self._place_order: 16,
            self._go_on_with_an_order: 30,
            self._read_of_others: 10,
        }

    async def act(self) -> None:
        """One change and the reads that follow it."""
        if len(self._products) < 2:
            await self._add_product()
        else:
            await self._random.choices(list(self._actions), list(self._actions.values()))[0]()

    def _own(self) -> Product:
        return self._random.choice(self._products)

    async def _add_product(self) -> None:
        if len(self._products) >= MOST_PRODUCTS:
            return await self._change_price()
        number = len(self._products)
        word, category = f"c{self._number}x{number}", f"Category {self._number}-{number // 20}"
        data: dict[str, Any] = {
            "name": f"{self._random.choice(WORDS)} {word}",
            "price": self._price(),
            "category": category,
            "initial_stock": self._random.choice((0, 5, 40, 200)),
        }
        if self._random.random() < 0.5:
            data["id"] = str(UUID(int=self._random.getrandbits(128), version=4))
        if self._random.random() < 0.5:
            data["sku"] = f"SKU-{self._number}-{number}"
        sent = await self._send("AddNewProduct", data, "ProductAdded")
        if not sent.is_ok or sent.result_id is None or sent.token is None:
            return None
        product = Product(sent.result_id, word, category, data["name"], data["price"], 1, sent.token)
        product.stock_token = sent.token
        self._products.append(product)
        self._street.products.append(product.id)
        return await self._check(product)

    def _price(self) -> str:
        return f"{self._random.randrange(1, 500)}.{self._random.randrange(10, 99)}"

    async def _change_price(self) -> None:
        product = self._own()
        price = product.price if self._random.random() < 0.1 else self._price()
        event = "PriceChanged" if price != product.price else ""
        if self._random.random() < 0.1:
            stale = await self._send(
                "ChangePrice",
                {"product_id": product.id, "price": price},
                "",
                "version-mismatch",
                if_match=product.version + 1,
            )
            if stale.is_ok:
                self._record.matrix.find("failed", f"{stale.id} was accepted with a wrong If-Match")
        if_match = product.version if self._random.random() < 0.3 else None
        sent = await self._send("ChangePrice", {"product_id": product.id, "price": price}, event, if_match=if_match)
        self._moved(product, sent)
        product.price = price
        await self._check(product)

    async def _rename(self) -> None:
        product = self._own()
        name = f"{self._random.choice(WORDS)} {product.word} {self._random.randrange(100)}"
        event = "ProductDetailsUpdated" if name != product.name else ""
        sent = await self._send("UpdateProductDetails", {"product_id": product.id, "name": name}, event)
        self._moved(product, sent)
        product.name = name
        await self._check(product)

    async def _turn_on_or_off(self) -> None:
        product = self._own()
        kind, event, after = ("DiscontinueProduct", "ProductDiscontinued", True)
        if product.is_discontinued or self._random.random() < 0.2:
            kind, event, after = ("RelistProduct", "ProductRelisted", False)
        sent = await self._send(kind, {"product_id": product.id}, event if after != product.is_discontinued else "")
        self._moved(product, sent)
        product.is_discontinued = after
        await self._check(product)

    def _moved(self, product: Product, sent: Sent) -> None:
        """A command about the product itself has ended: one event, or none."""
        product.version += 1 if sent.event else 0
        if not sent.is_ok or sent.token is None:
            return
        if sent.version is not None and sent.version != product.version:
            self._record.matrix.find("doubled", f"{sent}: version {product.version} was expected", sent.during)
        product.token = sent.token
        path, stream = f"/products/{product.id}", f"product-{product.id}"
        self._street.promises.append((path, stream, sent.token, product.version))

    async def _rate(self) -> None:
        product = self._own()
        data: dict[str, Any] = {"product_id": product.id, "user_id": self._user}
        if self._random.random() < 0.25:
            sent = await self._send("WithdrawRating", data, "RatingWithdrawn" if product.rating else "")
            product.rating = None
        else:
            rating = self._random.randrange(1, 6)
            event = "ProductRated" if rating != product.rating else ""
            sent = await self._send("RateProduct", {**data, "rating": rating}, event)
            product.rating = rating
        if sent.token is None:
            return
        path = f"/products/{product.id}/ratings/{self._user}"
        answer = await self._read.get(path, [sent.token, product.token])
        if answer is not None:
            shown = None if answer.status_code == 404 else answer.json()["rating"]
            self._read.expect(path, product.rating, shown)

    async def _move_stock(self) -> None:
        product = self._own()
        data: dict[str, Any] = {"product_id": product.id}
        what = self._random.random()
        if what < 0.5:
            data["quantity"] = self._random.randrange(1, 60)
            sent = await self._send("AddToInventory", data, "StockAdded")
        elif what < 0.7:
            data["counted_quantity"] = self._random.choice((0, 3, 30, 100))
            sent = await self._send("UpdateStockFromInventoryRecount", data, "StockRecounted")
        else:
            data["quantity"] = self._random.randrange(1, 20)
            sent = await self._send("ConfirmItemsShipped", data, "ItemsShipped", "insufficient-stock")
        if not sent.is_ok or sent.token is None:
            return
        product.stock_version = max(product.stock_version + 1, sent.version or 0)
        product.stock_token = sent.token
        path, stream = f"/inventory/{product.id}", f"inventory-{product.id}"
        self._street.promises.append((path, stream, sent.token, product.stock_version))
        await self._read.document(path, stream, [sent.token], product.stock_version)

    async def _check(self, product: Product) -> None:
        """Reads the product by its id, in its category and by its name; all must show what was answered."""
        path = f"/products/{product.id}"
        tokens = [product.token, product.stock_token] if self._random.random() < 0.3 else [product.token]
        document = await self._read.document(path, f"product-{product.id}", tokens, product.version, product.etag)
        if document is not None:
            self._read.expect(path, self._known(product), _shown(document))
            product.etag = document["etag"]
        if self._random.random() < 0.4:
            sort = self._random.choice(("name", "price", "-price", "-rating", "-created_at"))
            await self._listed(product, category=product.category, sort=sort)
        if self._random.random() < 0.4:
            await self._listed(product, search=product.word)

    async def _listed(self, product: Product, **parameters: str) -> None:
        answer = await self._read.get("/products", [product.token], limit=100, **parameters)
        if answer is None:
            return
        found = [_shown(item) for item in answer.json()["items"] if item["id"] == product.id]
        self._read.expect(f"/products {parameters}", [] if product.is_discontinued else [self._known(product)], found)

    def _known(self, product: Product) -> tuple[Any, ...]:
        return product.version, product.name, product.price, product.category, product.is_discontinued

    async def _place_order(self) -> None:
        count = self._random.choices((1, 2, 3), (6, 3, 1))[0]
        wanted = self._random.sample(self._street.products, min(count, len(self._street.products)))
        lines = {product: self._random.randrange(1, 6) for product in wanted}
        self._placed += 1
        customer = f"customer{self._number}-{self._placed // 40}"
        data: dict[str, Any] = {
            "customer_id": customer,
            "lines": [{"product_id": p, "quantity": q} for p, q in lines.items()],
        }
        if self._random.random() < 0.5:
            data["id"] = str(UUID(int=self._random.getrandbits(128), version=4))
        sent = await self._send("PlaceOrder", data, "OrderPlaced", "insufficient-stock", "product-discontinued")
        if not sent.is_ok or sent.result_id is None or sent.token is None:
            return
        order = Order(sent.result_id, lines, customer, sent.token, is_abandoned=self._random.random() < 0.12)
        self._orders.append(order)
        await self._check_order(order)

    async def _go_on_with_an_order(self) -> None:
        if not self._orders:
            return await self._place_order()
        order = self._random.choice(self._orders[:6])
        match order.status:
            case "placed" if order.is_abandoned:
                order.is_over = True
            case "placed":
                await (self._cancel(order) if self._random.random() < 0.15 else self._pay(order))
            case "paid" | "partially_shipped":
                await (self._cancel(order) if self._random.random() < 0.15 else self._ship(order))
            case _:
                await self._return(order)
        if order.is_over or order.status in ("cancelled", "returned"):
            self._orders.remove(order)
        return None

    async def _pay(self, order: Order) -> None:
        answer = await self._read.get(f"/orders/{order.id}", [order.token])
        if answer is None or answer.status_code != 200:
            return
        data = {"order_id": order.id, "amount": answer.json()["total"], "reference": f"card {order.id}"}
        sent = await self._send("ConfirmPayment", data, "OrderPaid", "order-not-payable")
        if sent.problem == "order-not-payable":
            self._record.not_payable.add(order.id)
            order.is_over = True
        await self._went_on(order, sent, "paid")

    async def _cancel(self, order: Order) -> None:
        event = {"placed": None, "paid": "OrderCancelled", "partially_shipped": "RemainingItemsCancelled"}
        data = {"order_id": order.id, "reason": "changed my mind"}
        sent = await self._send("CancelOrder", data, event[order.status])
        await self._went_on(order, sent, "shipped" if order.status == "partially_shipped" else "cancelled")

    async def _ship(self, order: Order) -> None:
        left = {p: q - order.shipped.get(p, 0) for p, q in order.lines.items() if q > order.shipped.get(p, 0)}
        pieces = left if self._random.random() < 0.5 else _some(left, self._random)
        data: dict[str, Any] = {"order_id": order.id, "lines": _lines(pieces)}
        if pieces == left and self._random.random() < 0.5:
            del data["lines"]
        sent = await self._send("ShipOrder", data, "OrderItemsShipped", "insufficient-stock")
        if sent.problem == "insufficient-stock" and self._random.random() < 0.5:
            return await self._cancel(order)
        if sent.is_ok:
            order.shipped = {p: order.shipped.get(p, 0) + pieces.get(p, 0) for p in order.lines}
        return await self._went_on(order, sent, "shipped" if pieces == left else "partially_shipped")

    async def _return(self, order: Order) -> None:
        there = {p: q - order.returned.get(p, 0) for p, q in order.shipped.items() if q > order.returned.get(p, 0)}
        if self._random.random() < 0.5:
            order.is_over = True
            return
        pieces = there if self._random.random() < 0.5 else _some(there, self._random)
        data = {"order_id": order.id, "lines": _lines(pieces), "restock": self._random.random() < 0.7}
        sent = await self._send("ReturnItems", data, "OrderItemsReturned")
        if sent.is_ok:
            order.returned = {p: order.returned.get(p, 0) + pieces.get(p, 0) for p in order.shipped}
        await self._went_on(order, sent, "returned" if pieces == there else "partially_returned")

    async def _went_on(self, order: Order, sent: Sent, status: str) -> None:
        if not sent.is_ok or sent.token is None:
            return
        order.status, order.token = status, sent.token
        order.version += 1
        if sent.version is not None and sent.version != order.version:
            self._record.matrix.find("doubled", f"{sent}: version {order.version} was expected", sent.during)
        await self._check_order(order)

    async def _check_order(self, order: Order) -> None:
        path, stream = f"/orders/{order.id}", f"order-{order.id}"
        # What waits to be paid may expire meanwhile.
        may_be = {order.status, "cancelled"} if order.status == "placed" else {order.status}
        document = await self._read.document(path, stream, [order.token], order.version)
        if document is not None:
            self._read.expect(path, True, document["status"] in may_be)
            self._street.promises.append((path, stream, order.token, order.version))
        if self._random.random() < 0.4:
            answer = await self._read.get("/orders", [order.token], customer_id=order.customer, limit=100)
            if answer is not None:
                shown = [item["status"] for item in answer.json()["items"] if item["id"] == order.id]
                self._read.expect(f"orders of {order.customer}", True, len(shown) == 1 and shown[0] in may_be)
        if self._random.random() < 0.2:
            answer = await self._read.get(f"{path}/history", [order.token])
            if answer is not None and answer.status_code == 200:
                newest = answer.json()["items"][0]["version"]
                self._read.expect(f"{path}/history", True, newest >= order.version)

    async def _read_of_others(self) -> None:
        """What was promised to anyone is promised to all."""
        some = self._random.sample(list(self._street.promises), min(3, len(self._street.promises)))
        if not some:
            return
        path, stream, _token, least = some[0]
        await self._read.document(path, stream, [token for _, _, token, _ in some], least)
        product = self._own()
        await self._read.get(f"/products/{product.id}/related", [product.token])
        await self._read.get("/categories", [product.token])


def _shown(document: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(document[field] for field in ("version", "name", "price", "category", "is_discontinued"))


def _some(pieces: dict[str, int], random: Random) -> dict[str, int]:
    """Part of the pieces, at least one."""
    product = random.choice(list(pieces))
    return {product: random.randrange(1, pieces[product] + 1)}


def _lines(pieces: dict[str, int]) -> list[dict[str, Any]]:
    return [{"product_id": p, "quantity": q} for p, q in pieces.items()]
