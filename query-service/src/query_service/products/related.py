"""What a product is shown with: bought together with it most often, then the best rated of its category."""

from typing import Final

from contracts.documents import sendable
from contracts.keys import LISTED, Generation
from query_service.parameters import FewerLimit, Parameters
from query_service.products.listing import document_prefix
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script

EXAMINED: Final = 500
"""So many of those bought together are looked at, at most; and as many of the category."""

RELATED: Final = Script("related.lua")


class RelatedQuery(Parameters):
    """The query parameters of `GET /products/{id}/related`."""

    limit: FewerLimit = 10


async def related_products(read_model: ReadModel, product_id: str, limit: int, demand: Demand) -> list[bytes] | None:
    """Up to `limit` products on sale, as they are sent; None where there is no such product."""

    def arguments(generation: Generation) -> list[str | bytes | int]:
        by_category = generation.products(LISTED, "-rating", "")
        return [document_prefix(generation), by_category, limit, EXAMINED]

    product, *found = await read_model.run(
        RELATED, lambda g: (g.product(product_id), g.bought_with(product_id)), arguments, demand
    )
    if sendable(product) is None:
        return None
    return [document[1] for document in map(sendable, found[0]) if document is not None]
