"""The query about alerts: from the call to the bytes that are sent."""

from collections.abc import Awaitable
from typing import Annotated

import orjson
from pydantic import Field

from chassis.body import validate_parameters
from chassis.http import Call, Reply
from query_service.journals import Journal, read_journal
from query_service.paging import Page
from query_service.parameters import Id
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.replying import PagedQuery, reply_page


class AlertsQuery(PagedQuery):
    """The query parameters of `GET /alerts`."""

    product_id: Annotated[Id | None, Field(description="Only the alerts of this product.")] = None

    def binding(self) -> str:
        """What a cursor of this list is bound to: all but the page's size."""
        return f"alerts {self.product_id}"

    def accepts(self, alert: bytes) -> bool:
        return bool(orjson.loads(alert)["product_id"] == self.product_id)


class AlertQueries:
    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    async def several(self, call: Call) -> Reply:
        query = validate_parameters(AlertsQuery, call.query())
        accepts = None if query.product_id is None else query.accepts

        def read(after: bytes | None, demand: Demand) -> Awaitable[Page]:
            journal = Journal(lambda g: g.alerts)
            return read_journal(self._read_model, journal, after, query.limit, demand, accepts)

        return await reply_page(call, query, query.binding(), read)
