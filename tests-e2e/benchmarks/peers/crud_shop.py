"""The same shop as plain CRUD, as a good engineer would write it: FastAPI, SQLAlchemy and Postgres.

``uvicorn benchmarks.peers.crud_shop:app``, with the database in ``CRUD_URL``; ``python -m
benchmarks.peers.crud_shop`` makes the tables and fills them.

What was chosen, and why it is good for this shop:

- SQLAlchemy Core on asyncpg instead of the ORM: no identity map and no unit of work, which a request that writes one
  row pays for and has no use for. Statements are cached by SQLAlchemy, and prepared by the driver.
- One transaction a request, committed before the answer. A product is one INSERT. An order is one conditional
  UPDATE, which takes the stock of all its lines or fails, and one INSERT; its lines are in the order's row.
- 20 connections a process, opened as needed and kept. One process can keep no more of them busy, and 64 requests at
  a time find the wait for one shorter than what more of them cost Postgres.
- Keys in the order of time (UUIDv7), so that new rows meet on the same pages of the index.
- An index for each query: by price within a category, words by prefix (GIN on the text search vector), newest first.
- Models for requests and answers, as FastAPI's documentation recommends; pydantic writes the JSON.
- uvicorn with uvloop and httptools, without an access log, as our own processes run.
"""

import asyncio
import os
import re
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import asyncpg
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel
from sqlalchemy import RowMapping, insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import workload
from benchmarks.peers.crud_tables import INDEXES, metadata, orders, products, stock
from benchmarks.peers.shop_models import NewOrder, NewProduct
from benchmarks.program import answer

engine = create_async_engine(
    os.environ.get("CRUD_URL", "postgresql+asyncpg://localhost/crud"), pool_size=20, max_overflow=0
)
app = FastAPI()


class Created(BaseModel):
    id: uuid.UUID


class Product(BaseModel):
    id: uuid.UUID
    name: str
    price: Decimal
    category: str | None
    available: int
    user_rating: float | None
    rating_count: int
    created_at: datetime


class Page(BaseModel):
    items: list[Product]


def new_id() -> uuid.UUID:
    """A UUIDv7: milliseconds, then chance."""
    chance = int.from_bytes(os.urandom(10), "big") & ~(0b1111 << 76) & ~(0b11 << 62)
    return uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | 7 << 76 | 0b10 << 62 | chance)


@app.post("/products", status_code=201)
async def add_product(product: NewProduct) -> Created:
    product_id = product.id or new_id()
    row = {
        "id": product_id,
        "name": product.name,
        "price": product.price,
        "category": product.category,
        "created_at": datetime.now(UTC),
    }
    async with engine.begin() as connection:
        await connection.execute(insert(products), row)
        if product.initial_stock:
            await connection.execute(insert(stock), {"product_id": product_id, "on_hand": product.initial_stock})
    return Created(id=product_id)


# Rows are locked in the order of their ids, so that two orders can't deadlock.
_TAKE = text("""
WITH wanted AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:quantities AS int[])) AS w(product_id, quantity)),
     locked AS (SELECT s.product_id FROM stock s JOIN wanted USING (product_id) ORDER BY s.product_id FOR UPDATE OF s)
UPDATE stock s SET reserved = s.reserved + w.quantity
  FROM wanted w JOIN locked USING (product_id) JOIN products p ON p.id = w.product_id
 WHERE s.product_id = w.product_id AND s.on_hand - s.reserved >= w.quantity AND NOT p.is_discontinued
RETURNING s.product_id, w.quantity, p.name, p.price
""")


@app.post("/orders", status_code=201)
async def place_order(order: NewOrder) -> Created:
    order_id = new_id()
    wanted: dict[uuid.UUID, int] = {}
    for line in order.lines:
        wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    async with engine.begin() as connection:
        arguments = {"ids": list(wanted), "quantities": list(wanted.values())}
        taken = (await connection.execute(_TAKE, arguments)).mappings().all()
        if len(taken) < len(wanted):
            raise HTTPException(409, "insufficient stock")
        await connection.execute(insert(orders), _order(order_id, order.customer_id, taken))
    return Created(id=order_id)


def _order(order_id: uuid.UUID, customer_id: str, taken: Sequence[RowMapping]) -> dict[str, Any]:
    lines = [
        {
            "product_id": str(row["product_id"]),
            "name": row["name"],
            "quantity": row["quantity"],
            "unit_price": str(row["price"]),
        }
        for row in taken
    ]
    total = sum((row["quantity"] * row["price"] for row in taken), Decimal())
    placed_at = datetime.now(UTC)
    return {"id": order_id, "customer_id": customer_id, "lines": lines, "total": total, "placed_at": placed_at}


_SHOWN = """
SELECT p.id, p.name, p.price, p.category, p.created_at, COALESCE(s.on_hand - s.reserved, 0) AS available,
       r.user_rating, r.rating_count
  FROM products p LEFT JOIN stock s ON s.product_id = p.id
 CROSS JOIN LATERAL (SELECT round(avg(rating), 2)::float8 AS user_rating, count(*) AS rating_count
                       FROM ratings WHERE product_id = p.id) r
"""
_BY_ID = text(f"{_SHOWN} WHERE p.id = :id")
# The page is chosen first: ratings are looked up for its products alone.
_CHOSEN = _SHOWN.replace("FROM products p ", "FROM ({chosen}) p ")
_BY_PRICE = text(
    _CHOSEN.format(
        chosen="SELECT * FROM products WHERE category = :category AND price >= :min_price AND NOT is_discontinued"
        " ORDER BY price, id LIMIT :limit"
    )
    + " ORDER BY p.price, p.id"
)
_BY_NAME = text(
    _CHOSEN.format(
        chosen="SELECT * FROM products WHERE to_tsvector('simple', name) @@ to_tsquery('simple', :words)"
        " AND NOT is_discontinued ORDER BY created_at DESC, id LIMIT :limit"
    )
    + " ORDER BY p.created_at DESC, p.id"
)


@app.get("/products/{product_id}")
async def read_product(product_id: uuid.UUID) -> Product:
    async with engine.connect() as connection:
        row = (await connection.execute(_BY_ID, {"id": product_id})).mappings().first()
    if row is None:
        raise HTTPException(404)
    return Product.model_construct(**row)


@app.get("/products")
async def list_products(
    search: str | None = None,
    category: str | None = None,
    min_price: Decimal = Decimal(0),
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page:
    if search is not None:
        words = " & ".join(f"{word}:*" for word in re.findall(r"\w+", search))
        query, arguments = _BY_NAME, {"words": words, "limit": limit}
    else:
        query, arguments = _BY_PRICE, {"category": category, "min_price": min_price, "limit": limit}
    async with engine.connect() as connection:
        rows = (await connection.execute(query, arguments)).mappings().all()
    return Page(items=[Product.model_construct(**row) for row in rows])


async def fill(url: str, count: int, ratings: int, on_hand: int | None) -> dict[str, Any]:
    """Makes the tables, and fills them with the products of the catalogue; all of them `on_hand` pieces, if given."""
    maker = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    async with maker.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await maker.dispose()
    driver = await asyncpg.connect(url)
    made = [workload.product(1, number) for number in range(count)]
    now = datetime.now(UTC)
    await driver.copy_records_to_table(
        "products",
        columns=("id", "name", "price", "category", "created_at"),
        records=[(uuid.UUID(p["id"]), p["name"], Decimal(p["price"]), p["category"], now) for p in made],
    )
    pieces = [(uuid.UUID(p["id"]), p["initial_stock"] if on_hand is None else on_hand) for p in made]
    await driver.copy_records_to_table("stock", columns=("product_id", "on_hand"), records=pieces)
    given = [
        (uuid.UUID(p["id"]), f"user{user}", workload.stars(number, user))
        for number, p in enumerate(made)
        for user in range(ratings)
    ]
    await driver.copy_records_to_table("ratings", columns=("product_id", "user_id", "rating"), records=given)
    for index in INDEXES:
        await driver.execute(index)
    # The planner must know the tables, and reading must not be the one to mark rows as visible.
    await driver.execute("VACUUM ANALYZE")
    await driver.close()
    return {"products": count, "ids": [p["id"] for p in made]}


if __name__ == "__main__":
    answer(lambda asked: asyncio.run(fill(asked["url"], asked["count"], asked["ratings"], asked.get("on_hand"))))
