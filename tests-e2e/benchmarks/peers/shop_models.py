"""What clients send, as the peers' routes take it."""

import uuid
from decimal import Decimal

from pydantic import BaseModel, Field


class NewProduct(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    price: Decimal = Field(ge=0, max_digits=15, decimal_places=4)
    category: str | None = None
    initial_stock: int = Field(0, ge=0)
    id: uuid.UUID | None = None


class NewLine(BaseModel):
    product_id: uuid.UUID
    quantity: int = Field(gt=0)


class NewOrder(BaseModel):
    customer_id: str = Field(min_length=1, max_length=64)
    lines: list[NewLine] = Field(min_length=1, max_length=1000)
