"""The queries about orders: from the call to the bytes that are sent."""

from collections.abc import Awaitable
from typing import Annotated

from pydantic import Field

from chassis.body import validate_parameters
from chassis.http import Call, Reply
from contracts.documents import OrderStatus
from contracts.keys import Generation
from query_service.journals import Journal, history_reply
from query_service.paging import Page, Stretch, read_page
from query_service.parameters import UserId
from query_service.problems import no_order
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.replying import PagedQuery, reply_document, reply_page


class OrdersQuery(PagedQuery):
    """The query parameters of `GET /orders`."""

    customer_id: Annotated[UserId | None, Field(description="Only the orders of this customer.")] = None
    status: Annotated[OrderStatus | None, Field(description="Only orders that are in this state now.")] = None

    def binding(self) -> str:
        """What a cursor of this list is bound to: all but the page's size."""
        return f"orders {self.customer_id!r} {self.status}"

    def stretch(self) -> Stretch:
        """Each combination of filters has an index of its own."""
        return Stretch(lambda g: [g.orders(self.customer_id, self.status)], document_prefix)


def document_prefix(generation: Generation) -> str:
    return generation.order_summary("")


class OrderQueries:
    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    async def by_id(self, call: Call) -> Reply:
        order_id = call.path["id"]
        return await reply_document(self._read_model, call, lambda g: g.order(order_id), lambda: no_order(order_id))

    async def several(self, call: Call) -> Reply:
        query = validate_parameters(OrdersQuery, call.query())

        def read(after: bytes | None, demand: Demand) -> Awaitable[Page]:
            return read_page(self._read_model, query.stretch(), after, query.limit, demand)

        return await reply_page(call, query, query.binding(), read)

    async def history(self, call: Call) -> Reply:
        order_id = call.path["id"]
        journal = Journal(lambda g: g.order_history(order_id), lambda g: g.order(order_id), no_order(order_id))
        return await history_reply(self._read_model, call, f"order history {order_id}", journal)
