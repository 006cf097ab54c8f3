"""The address of alerts."""

from dataclasses import dataclass

from chassis.http import Operation
from contracts.documents import StockAlert
from query_service.alerts.handlers import AlertQueries, AlertsQuery
from query_service.documentation import query
from query_service.read_model.reading import ReadModel

_LIST = """One alert for each time that a product's stock ran out (`StockRanOut`), or low (`StockRanLow`: at or below
the threshold that is set).

With `product_id` a page does bounded work: it may be short, even empty, while `next_cursor` is set. Only null ends the
list. A product that is not known has no alerts."""


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, and where the list goes on; null at its end only."""

    items: list[StockAlert]
    next_cursor: str | None


def operations(read_model: ReadModel) -> list[Operation]:
    queries = AlertQueries(read_model)
    return [
        query(
            "/alerts",
            "list_alerts",
            "Alerts about stock, the newest first",
            queries.several,
            "inventory",
            AlertPage,
            description=_LIST,
            parameters=AlertsQuery,
            paged=True,
        )
    ]
