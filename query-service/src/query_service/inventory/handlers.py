"""The queries about stock: from the call to the bytes that are sent."""

from collections.abc import Awaitable
from typing import Annotated

from pydantic import Field

from chassis.body import validate_parameters
from chassis.http import Call, Reply
from contracts.keys import Generation, stock_key
from query_service.paging import Page, Stretch, read_page
from query_service.parameters import Flag, Pieces
from query_service.problems import no_product
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.replying import PagedQuery, reply_document, reply_page


class InventoryQuery(PagedQuery):
    """The query parameters of `GET /inventory`."""

    out_of_stock: Annotated[
        Flag | None, Field(description="`true`: only where nothing is available; `false`: only where something is.")
    ] = None
    max_available: Annotated[Pieces | None, Field(description="So many or fewer are available.")] = None

    def binding(self) -> str:
        """What a cursor of this list is bound to: all but the page's size."""
        return f"inventory {self.out_of_stock} {self.max_available}"

    def stretch(self) -> Stretch:
        """Stock is ordered by what is available, so that every filter is a range of the index."""
        lowest = stock_key(1) if self.out_of_stock is False else b""
        highest = None if self.max_available is None else stock_key(self.max_available)
        if self.out_of_stock:
            highest = stock_key(0)
        return Stretch(lambda g: [g.stock], document_prefix, lowest, highest)


def document_prefix(generation: Generation) -> str:
    return generation.inventory("")


class InventoryQueries:
    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    async def by_product(self, call: Call) -> Reply:
        product_id = call.path["product_id"]
        return await reply_document(
            self._read_model, call, lambda g: g.inventory(product_id), lambda: no_product(product_id)
        )

    async def several(self, call: Call) -> Reply:
        query = validate_parameters(InventoryQuery, call.query())

        def read(after: bytes | None, demand: Demand) -> Awaitable[Page]:
            return read_page(self._read_model, query.stretch(), after, query.limit, demand)

        return await reply_page(call, query, query.binding(), read)
