"""Change what a product is called, how it is described, or where it is filed."""

from collections.abc import Iterable
from typing import Self

from pydantic import model_validator

from command_service.decider import Command, on_stream
from command_service.fields import Category, Description, Name, Uuid
from contracts.events import ProductDetailsUpdated

from .product import ProductState, existing, product


class UpdateProductDetails(Command):
    """A field that is absent keeps its value; null clears `description` or `category`."""

    product_id: Uuid
    name: Name = ""
    description: Description | None = None
    category: Category | None = None

    @model_validator(mode="after")
    def _something_to_change(self) -> Self:
        if not self.model_fields_set - {"product_id"}:
            raise ValueError("Name at least one of name, description and category")
        return self

    def content(self) -> bytes:
        return self.model_dump_json(exclude_unset=True).encode()


def decide(command: UpdateProductDetails, state: ProductState) -> Iterable[ProductDetailsUpdated]:
    current = existing(state, command.product_id)
    given = command.model_fields_set
    updated = ProductDetailsUpdated(
        name=command.name if "name" in given else current.name,
        description=command.description if "description" in given else current.description,
        category=command.category if "category" in given else current.category,
    )
    if (updated.name, updated.description, updated.category) != (current.name, current.description, current.category):
        yield updated


USE_CASE = on_stream(UpdateProductDetails, lambda command: product(command.product_id), decide)
