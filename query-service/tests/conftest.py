"""A shop written straight into Redis with the contract's own functions, and the service over it."""

import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis

from contracts import tokens
from contracts.documents import (
    OrderDetails,
    OrderDetailsLine,
    OrderSummary,
    ProductDisplay,
    ProductInventory,
    UserRating,
    store,
)
from contracts.keys import (
    APPLIED_CHANNEL,
    DISCONTINUED,
    LISTED,
    LIVE,
    SORTS,
    Generation,
    announcement,
    journal_member,
    order_member,
    sort_member,
    stock_member,
    word_member,
)
from contracts.text import words
from contracts.topology import partition_of
from query_service.bootstrap import build
from query_service.settings import QuerySettings

PARTITIONS = 8
WORDS = [
    *("chai", "chang", "syrup", "côte", "blaye", "sony", "wireless", "headphones", "xps"),
    *("phone", "pro", "max", "mini", "tea", "black", "green", "straße"),
]


class Shop:
    """Writes what a projector would, and remembers it for comparison."""

    def __init__(self, url: str) -> None:
        self.redis: Any = redis.Redis.from_url(url)
        self.generation = Generation(1)
        self.products: dict[str, ProductDisplay] = {}
        self.orders: dict[str, OrderDetails] = {}
        self.bodies: dict[str, bytes] = {}
        """Of products and orders."""
        self.whole()

    def whole(self, is_whole: bool = True) -> None:
        self.redis.set(LIVE, self.generation.number)
        if is_whole:
            self.redis.set(self.generation.complete, 1)
        else:
            self.redis.delete(self.generation.complete)

    def put(self, product: ProductDisplay) -> ProductDisplay:
        """Adds a product or replaces it, with its indexes, stock and versions."""
        if old := self.products.get(product.id):
            self._index(old, "zrem")
        self._index(product, "zadd")
        g = self.generation
        stored = store(product)
        self.products[product.id] = product
        self.bodies[product.id] = stored.partition(b"\n")[2]
        self.redis.set(g.product(product.id), stored)
        self.redis.set(g.version(f"product-{product.id}"), product.version)
        if product.sku:
            self.redis.set(g.sku(product.sku), product.id)
        stock = ProductInventory(
            product.id, product.name, product.sku, product.available, 0, product.available, 0, version=1
        )
        self.redis.set(g.inventory(product.id), store(stock))
        return product

    def rate(self, product_id: str, user_id: str, rating: int) -> None:
        document = UserRating(user_id, rating, 1, "2026-01-01T00:00:00.000000Z")
        self.redis.set(self.generation.rating(product_id, user_id), store(document, hidden=rating == 0))

    def place(self, order: OrderDetails) -> OrderDetails:
        """Adds an order or replaces it, with its summary, indexes and version."""
        g = self.generation
        if old := self.orders.get(order.id):
            for key in _lists(g, old):
                self.redis.zrem(key, order_member(old.id, old.placed_at))
        for key in _lists(g, order):
            self.redis.zadd(key, {order_member(order.id, order.placed_at): 0})
        stored = store(order)
        self.orders[order.id] = order
        self.bodies[order.id] = stored.partition(b"\n")[2]
        self.redis.set(g.order(order.id), stored)
        self.redis.set(g.version(f"order-{order.id}"), order.version)
        head = (order.customer_id, order.status, order.total, order.currency)
        summary = OrderSummary(order.id, *head, len(order.lines), order.placed_at)
        self.redis.set(g.order_summary(order.id), store(summary))
        return order

    def tell(self, journal: str, position: int, entry: bytes) -> None:
        """Adds an entry to a journal, by its key."""
        self.redis.zadd(journal, {journal_member(position, entry): 0})

    def sell(self, day: str, **sums: int) -> None:
        """Adds to a day's sums; money in 1/10000."""
        for name, increment in sums.items():
            self.redis.hincrby(self.generation.sales(day), name, increment)

    def sell_together(self, product_id: str, other: str, times: int) -> None:
        self.redis.zincrby(self.generation.bought_with(product_id), -times, other)

    def announce(self, partition_key: str, *indexes: str, naming: bool = True) -> int:
        """As the projector does, `naming` the documents and indexes; projectors of before name none."""
        g = self.generation
        keys = (g.product(partition_key), g.inventory(partition_key), g.order(partition_key), *indexes)
        channel = f"{APPLIED_CHANNEL}{partition_of(partition_key, PARTITIONS)}"
        return int(self.redis.publish(channel, announcement(1, keys) if naming else "1"))

    def token(self, partition_key: str, version: int, kind: str = "product") -> str:
        partition = partition_of(partition_key, PARTITIONS)
        return tokens.encode({partition: (f"{kind}-{partition_key}", version)}, PARTITIONS)

    def park(self, product_id: str) -> str:
        """Parks something in the product's partition; returns the key that says so."""
        key = self.generation.parked_in(partition_of(product_id, PARTITIONS))
        self.redis.set(key, 1)
        return key

    def _index(self, product: ProductDisplay, how: str) -> None:
        pipe = self.redis.pipeline(transaction=True)
        g, listing = self.generation, DISCONTINUED if product.is_discontinued else LISTED

        def change(key: str, member: bytes) -> None:
            _ = pipe.zadd(key, {member: 0}) if how == "zadd" else pipe.zrem(key, member)

        for sort in SORTS:
            change(g.products(listing, sort), sort_member(sort, product))
            if product.category is not None:
                change(g.products(listing, sort, product.category), sort_member(sort, product))
        for word in {*words(product.name), *words(product.sku or "")}:
            change(g.words(listing), word_member(word, product))
        if product.category is not None and not product.is_discontinued:
            pipe.hincrby(g.categories, product.category, 1 if how == "zadd" else -1)
        change(g.stock, stock_member(product.id, product.available))
        pipe.execute()


def _lists(generation: Generation, order: OrderDetails) -> list[str]:
    return [generation.orders(c, s) for c in (None, order.customer_id) for s in (None, order.status)]


def random_product(rnd: random.Random, **fields: Any) -> ProductDisplay:
    """A product with few distinct names, prices, ratings and times, so that there are ties everywhere."""
    available = rnd.choice((0, 0, 1, 3, 20))
    product = ProductDisplay(
        id=str(uuid.UUID(int=rnd.getrandbits(128))),
        sku=rnd.choice(
            (None, f"SKU {rnd.choice(WORDS)[:3].encode('ascii', 'replace').decode()}-{rnd.getrandbits(40)}")
        ),
        name=" ".join(rnd.choices(WORDS, k=rnd.randint(1, 3))).title(),
        category=rnd.choice((None, "Tea", "Phones & more", "Büro")),
        price=rnd.choice(("0.00", "5.00", "5.125", "19.99", "349.99", "99999999999.9999")),
        currency="EUR",
        available=available,
        is_out_of_stock=available == 0,
        user_rating=rnd.choice((None, 1.0, 3.33, 3.67, 4.5, 5.0)),
        is_discontinued=rnd.random() < 0.2,
        created_at=f"2026-01-0{rnd.randint(1, 3)}T00:00:00.{rnd.randint(0, 2):06d}Z",
        updated_at="2026-01-05T00:00:00.000000Z",
        version=1,
    )
    return replace(product, **fields)


def random_order(rnd: random.Random, **fields: Any) -> OrderDetails:
    """An order with few distinct customers, states and times, so that there are ties everywhere."""
    line = OrderDetailsLine(
        product_id=str(uuid.UUID(int=rnd.getrandbits(128))), name="Côte de Blaye", quantity=2, unit_price="5.00",
        shipped=0, returned=0, cancelled=0,
    )  # fmt: skip
    order = OrderDetails(
        id=str(uuid.UUID(int=rnd.getrandbits(128))),
        customer_id=rnd.choice(("guest", "a:b", "12345", "a@b")),
        status=rnd.choice(("placed", "paid", "shipped")),
        lines=[line] * rnd.randint(1, 3),
        total="10.00",
        currency="EUR",
        placed_at=f"2026-01-0{rnd.randint(1, 3)}T00:00:00.{rnd.randint(0, 2):06d}Z",
        updated_at="2026-01-05T00:00:00.000000Z",
        version=1,
    )
    return replace(order, **fields)


@pytest.fixture
def make_product() -> Any:
    return random_product


@pytest.fixture
def make_order() -> Any:
    return random_order


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    shop = Shop(redis_url)
    yield shop
    shop.redis.close()


@asynccontextmanager
async def serving(url: str, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = build(QuerySettings(redis_url=url, **settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        yield client


@pytest.fixture
def serve_over() -> Any:
    """`async with serve_over(redis_url, currency="EUR") as client`; settings are optional."""
    return serving


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(redis_url) as client:
        yield client


@pytest.fixture
async def client_without_memory(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Of a service that asks Redis each time."""
    async with serving(redis_url, image_documents=0) as client:
        yield client


@pytest.fixture
def shop_over() -> Iterator[Any]:
    """`shop_over(redis_url)`: a shop in a Redis of the test's own."""
    shops: list[Shop] = []

    def make(url: str) -> Shop:
        shops.append(Shop(url))
        return shops[-1]

    yield make
    for shop in shops:
        shop.redis.close()
