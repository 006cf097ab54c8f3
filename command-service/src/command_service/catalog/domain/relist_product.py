"""Put a discontinued product back into the shop window."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Uuid
from contracts.events import ProductRelisted

from .product import ProductState, existing, product


class RelistProduct(Command):
    """The product is sold again."""

    product_id: Uuid


def decide(command: RelistProduct, state: ProductState) -> Iterable[ProductRelisted]:
    if existing(state, command.product_id).is_discontinued:
        yield ProductRelisted()


USE_CASE = on_stream(RelistProduct, lambda command: product(command.product_id), decide)
