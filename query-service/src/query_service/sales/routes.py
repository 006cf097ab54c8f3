"""The address of sales."""

from chassis.http import Operation
from query_service.documentation import query
from query_service.read_model.reading import ReadModel
from query_service.sales.handlers import MOST_DAYS, Sales, SalesQueries, SalesQuery

_DAILY = f"""Orders, units and revenue count on the day of the payment; cancellations and returns on their own days, and
are not taken off them. Days are of UTC; both ends are included, at most {MOST_DAYS} days. A day on which nothing
happened is all zeros."""


def operations(read_model: ReadModel, currency: str) -> list[Operation]:
    queries = SalesQueries(read_model, currency)
    return [
        query(
            "/sales/daily",
            "get_daily_sales",
            "Sales of each day",
            queries.daily,
            "sales",
            Sales,
            description=_DAILY,
            parameters=SalesQuery,
        )
    ]
