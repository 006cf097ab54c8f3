"""What we measure against: a FastAPI route that does nothing, a plain CRUD shop, and bare bytes.

uvicorn peers:nothing | peers:crud | peers:bare
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, Numeric, Table, Text, Uuid, insert, select
from sqlalchemy.ext.asyncio import create_async_engine


class NewProduct(BaseModel):
    name: str
    price: Decimal
    category: str | None = None
    initial_stock: int = 0


nothing = FastAPI()


@nothing.post("/products", status_code=201)
async def do_nothing(product: NewProduct) -> dict[str, str]:
    return {"id": "01a1fc3d-4ed4-7144-a308-eff603515c19"}


metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price", Numeric(15, 4), nullable=False),
    Column("category", Text),
)
stock = Table("stock", metadata, Column("product_id", Uuid, primary_key=True), Column("on_hand", Integer))
ratings = Table(
    "ratings",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("rating", Integer, nullable=False),
)
engine = create_async_engine(os.environ.get("CRUD_URL", "postgresql+asyncpg://localhost/crud"), pool_size=20)


@asynccontextmanager
async def create_tables(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield


crud = FastAPI(lifespan=create_tables)


@crud.post("/products", status_code=201)
async def insert_product(product: NewProduct) -> dict[str, str]:
    product_id = uuid.uuid4()
    row = {"id": product_id, "name": product.name, "price": product.price, "category": product.category}
    async with engine.begin() as connection:
        await connection.execute(insert(products), row)
    return {"id": str(product_id)}


@crud.get("/products/{product_id}")
async def read_product(product_id: uuid.UUID) -> dict[str, Any]:
    query = (
        select(products, stock.c.on_hand, ratings.c.rating)
        .outerjoin(stock, stock.c.product_id == products.c.id)
        .outerjoin(ratings, ratings.c.product_id == products.c.id)
        .where(products.c.id == product_id)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    given = [row["rating"] for row in rows if row["rating"] is not None]
    first = rows[0]
    return {
        "id": first["id"],
        "name": first["name"],
        "price": first["price"],
        "category": first["category"],
        "available": first["on_hand"] or 0,
        "user_rating": sum(given) / len(given) if given else None,
    }


_BODY = b"x" * int(os.environ.get("BARE_BYTES", "520"))


async def bare(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
