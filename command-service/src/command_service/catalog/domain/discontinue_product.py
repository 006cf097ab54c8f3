"""Take a product out of the shop window. It stays readable, and keeps its SKU."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Uuid
from contracts.events import ProductDiscontinued

from .product import ProductState, existing, product


class DiscontinueProduct(Command):
    """No new orders for this product; every other command still applies to it."""

    product_id: Uuid


def decide(command: DiscontinueProduct, state: ProductState) -> Iterable[ProductDiscontinued]:
    if not existing(state, command.product_id).is_discontinued:
        yield ProductDiscontinued()


USE_CASE = on_stream(DiscontinueProduct, lambda command: product(command.product_id), decide)
