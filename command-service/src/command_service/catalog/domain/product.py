"""A product: its details, its price, and whether it is still sold."""

from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import TypeAdapter

from command_service.decider import Aggregate, Stream
from command_service.problems import ProductNotFound
from contracts.events import (
    PriceChanged,
    ProductAdded,
    ProductDetailsUpdated,
    ProductDiscontinued,
    ProductEvent,
    ProductRelisted,
)
from contracts.streams import product_stream


@dataclass(frozen=True, slots=True)
class Product:
    """A product that was added. Money is a decimal string in its normal form."""

    name: str
    description: str | None
    category: str | None
    price: str
    is_discontinued: bool = False


ProductState = Product | None
"""None: there has never been such a product."""


def evolve(state: ProductState, event: ProductEvent) -> ProductState:
    if isinstance(event, ProductAdded):
        return Product(event.name, event.description, event.category, event.price)
    if state is None:
        return None
    match event:
        case ProductDetailsUpdated():
            return replace(state, name=event.name, description=event.description, category=event.category)
        case PriceChanged():
            return replace(state, price=event.price)
        case ProductDiscontinued():
            return replace(state, is_discontinued=True)
        case ProductRelisted():
            return replace(state, is_discontinued=False)
        case _:
            assert_never(event)


PRODUCT: Aggregate[ProductState] = Aggregate(
    kind="product",
    initial=None,
    evolve=evolve,
    exists=lambda state: state is not None,
    snapshot=TypeAdapter(ProductState),
)


def product(product_id: str) -> Stream[ProductState]:
    return Stream(product_stream(product_id), PRODUCT)


def existing(state: ProductState, product_id: str) -> Product:
    """The product, or the refusal that there is none."""
    if state is None:
        raise ProductNotFound(product_id)
    return state
