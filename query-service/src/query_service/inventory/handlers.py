"""The queries about stock: from the call to the bytes that are sent."""

from typing import Annotated

from pydantic import Field

from chassis.body import validate_parameters
from chassis.http import Call, Reply
from chassis.problems import Problem
from contracts.documents import sendable
from contracts.keys import Generation, stock_key
from query_service.answers import asked, document_reply, page_reply
from query_service.cursors import read_cursor, write_cursor
from query_service.paging import Stretch, read_page
from query_service.parameters import Cursor, Flag, Limit, Parameters, Pieces, no_query
from query_service.problems import PRODUCT_NOT_FOUND
from query_service.read_model.reading import ReadModel


class InventoryQuery(Parameters):
    """The query parameters of `GET /inventory`."""

    out_of_stock: Annotated[
        Flag | None, Field(description="`true`: only where nothing is available; `false`: only where something is.")
    ] = None
    max_available: Annotated[Pieces | None, Field(description="So many or fewer are available.")] = None
    limit: Limit = 20
    cursor: Annotated[Cursor | None, Field()] = None

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
        no_query(call)
        wanted = asked(call)
        product_id = call.path["product_id"]
        values = await self._read_model.lookup(lambda g: (g.inventory(product_id),), wanted.demand)
        document = sendable(values[0])
        if document is None:
            raise Problem(PRODUCT_NOT_FOUND, f"There is no product {product_id}.")
        return document_reply(wanted, *document)

    async def several(self, call: Call) -> Reply:
        query = validate_parameters(InventoryQuery, call.query())
        wanted = asked(call)
        binding = query.binding()
        after = None if query.cursor is None else read_cursor(binding, query.cursor)
        page = await read_page(self._read_model, query.stretch(), after, query.limit, wanted.demand)
        next_cursor = None if page.position is None else write_cursor(binding, page.position)
        return page_reply(call, wanted, page.items, next_cursor)
