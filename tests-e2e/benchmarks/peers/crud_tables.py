"""The tables and indexes of the CRUD shop."""

from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Numeric, SmallInteger, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price", Numeric(15, 4), nullable=False),
    Column("category", Text),
    Column("is_discontinued", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
stock = Table(
    "stock",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False, server_default=text("0")),
    # An order changes `reserved`, which is in no index: with room on the page the new row stays there.
    postgresql_with={"fillfactor": 80},
)
ratings = Table(
    "ratings",
    metadata,
    Column("product_id", Uuid, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("rating", SmallInteger, nullable=False),
)
orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'placed'")),
    Column("lines", JSONB, nullable=False),
    Column("total", Numeric(15, 4), nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
)

INDEXES = (
    "CREATE INDEX IF NOT EXISTS products_by_price ON products (category, price, id) WHERE NOT is_discontinued",
    "CREATE INDEX IF NOT EXISTS products_by_word ON products USING gin (to_tsvector('simple', name))",
    "CREATE INDEX IF NOT EXISTS products_newest ON products (created_at DESC, id)",
    "CREATE INDEX IF NOT EXISTS orders_of_customer ON orders (customer_id, placed_at DESC)",
)
