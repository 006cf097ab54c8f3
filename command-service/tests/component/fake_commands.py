"""A command API of a few lines that keeps to the contract of queued commands, for clients of it.

It executes what it accepts at once, each id once, and refuses what a shop would refuse: other content under
a known id, an order with too little stock, a payment that is not the total, a return of what was not shipped.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Data = dict[str, Any]
PROBLEM = "application/problem+json"


class Rejected(Exception):
    pass


@dataclass
class FakeCommands:
    """What was done, and how the API is to behave."""

    currency: str = "GBP"
    waiting_types: set[str] = field(default_factory=set)
    """Commands of these types stay accepted."""
    posts_until_down: int | None = None
    """So many arrays are accepted; then every request is answered 503."""
    lost_answers: int = 0
    """So many arrays are accepted without the client getting to know."""
    invalid: set[str] = field(default_factory=set)
    """Ids of commands that are said not to be valid."""
    failing: set[str] = field(default_factory=set)
    """Ids of commands that end as failed."""

    content: dict[str, Data] = field(default_factory=dict)
    receipts: dict[str, Data] = field(default_factory=dict)
    stock: Counter[str] = field(default_factory=Counter)
    prices: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    products: dict[str, Data] = field(default_factory=dict)
    orders: dict[str, Data] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)
    """Type and time of every command that was executed."""
    arrays: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, commands: list[Data]) -> tuple[int, Data]:
        invalid = [index for index, command in enumerate(commands) if command["id"] in self.invalid]
        if invalid:
            errors = [{"pointer": f"#/{index}/data/price", "detail": "Expected another"} for index in invalid]
            return 422, problem("validation", "Not valid", errors)
        reused = [i for i, command in enumerate(commands) if self.content.get(command["id"], command) != command]
        if reused:
            errors = [{"pointer": f"#/{index}/id", "detail": "Used before"} for index in reused]
            return 422, problem("idempotency-key-reused", "Key reused", errors)
        self.arrays.append(len(commands))
        for command in commands:
            if command["id"] not in self.content:
                self.content[command["id"]] = command
                self.receipts[command["id"]] = self.executed(command)
        return 202, {"commands": [{"id": c["id"], "status_url": f"/commands/{c['id']}"} for c in commands]}

    def executed(self, command: Data) -> Data:
        """Its receipt."""
        if command["type"] in self.waiting_types:
            return {"status": "accepted"}
        if command["id"] in self.failing:
            return {"status": "failed", "problem": problem("internal", "A fault of ours")}
        try:
            getattr(self, f"on_{command['type']}")(command["data"], command["effective_at"])
        except Rejected as rejected:
            return {"status": "rejected", "problem": problem("rejected", str(rejected))}
        self.steps.append((command["type"], command["effective_at"]))
        return {"status": "succeeded", "problem": None}

    def on_AddNewProduct(self, data: Data, at: str) -> None:
        if data["id"] in self.products or data["sku"] in {product["sku"] for product in self.products.values()}:
            raise Rejected("Taken")
        self.products[data["id"]] = data
        self.stock[data["id"]] = data["initial_stock"]
        self.prices[data["id"]] = [(at, data["price"])]

    def on_ChangePrice(self, data: Data, at: str) -> None:
        self.prices[self.known(data)].append((at, data["price"]))

    def on_UpdateStockFromInventoryRecount(self, data: Data, at: str) -> None:
        self.stock[self.known(data)] = data["counted_quantity"]

    def on_PlaceOrder(self, data: Data, at: str) -> None:
        wanted: Counter[str] = Counter()
        for line in data["lines"]:
            wanted[self.known(line)] += line["quantity"]
        if data["id"] in self.orders or any(self.stock[product] < pieces for product, pieces in wanted.items()):
            raise Rejected("Insufficient stock")
        self.stock.subtract(wanted)
        self.orders[data["id"]] = {**data, "at": at, "state": "placed", "left": wanted}

    def on_ConfirmPayment(self, data: Data, at: str) -> None:
        order = self.order(data, "placed")
        total = sum((line["quantity"] * Decimal(line["unit_price"]) for line in order["lines"]), Decimal())
        if f"{total.quantize(Decimal('0.01'), ROUND_HALF_UP)}" != data["amount"]:
            raise Rejected("Amount mismatch")
        order.update(state="paid", total=data["amount"], reference=data["reference"])

    def on_ShipOrder(self, data: Data, at: str) -> None:
        self.order(data, "paid")["state"] = "shipped"

    def on_ReturnItems(self, data: Data, at: str) -> None:
        order = self.order(data, "shipped")
        for line in data["lines"]:
            if order["left"][line["product_id"]] < line["quantity"]:
                raise Rejected("More than was shipped")
        for line in data["lines"]:
            order["left"][line["product_id"]] -= line["quantity"]
            self.stock[line["product_id"]] += line["quantity"]

    def known(self, data: Data) -> str:
        product: str = data["product_id"]
        if product not in self.products:
            raise Rejected("Product not found")
        return product

    def order(self, data: Data, state: str) -> Data:
        order = self.orders.get(data["order_id"])
        if order is None or order["state"] != state:
            raise Rejected("Not in this state")
        return order

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Data]:
        if self.posts_until_down is not None and len(self.arrays) >= self.posts_until_down:
            return 503, problem("unavailable", "Not now")
        place = urlsplit(url)
        match method, place.path:
            case "GET", "/system":
                return 200, {"partitions": 8, "currency": self.currency}
            case "POST", "/commands":
                commands = json.loads(body)
                assert 1 <= len(commands) <= 1000
                assert len(body) <= 4 * 1024 * 1024
                answer = self.accept(commands)
                if self.lost_answers:
                    self.lost_answers -= 1
                    return 503, problem("unavailable", "Not now")
                return answer
            case "GET", "/commands":
                ids = parse_qs(place.query)["ids"][0].split(",")
                assert 1 <= len(ids) <= 100
                return 200, {"items": [{"id": one, **self.receipts[one]} for one in ids if one in self.receipts]}
            case _:
                return 404, problem("not-found", "Not found")


def problem(slug: str, title: str, errors: list[Data] | None = None) -> Data:
    document = {"type": f"/problems/{slug}", "title": title, "status": 422, "detail": f"{title}."}
    return {**document, "errors": errors} if errors else document


@contextmanager
def serving(api: FakeCommands) -> Iterator[str]:
    """The URL of the API; it stops with the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with api.lock:
                status, document = api.answer(self.command, self.path, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status < 400 else PROBLEM)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.handle_one()

        def do_POST(self) -> None:
            self.handle_one()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
