"""Change what a product costs."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Money, Uuid
from contracts.events import PriceChanged

from .product import ProductState, existing, product


class ChangePrice(Command):
    """From now on the product costs `price`. Orders that were placed keep theirs."""

    product_id: Uuid
    price: Money


def decide(command: ChangePrice, state: ProductState) -> Iterable[PriceChanged]:
    current = existing(state, command.product_id)
    if command.price != current.price:
        yield PriceChanged(price=command.price, previous_price=current.price)


USE_CASE = on_stream(ChangePrice, lambda command: product(command.product_id), decide)
