"""The addresses of orders."""

from dataclasses import dataclass

from chassis.http import UUID_PARAMETER, Operation
from contracts.documents import OrderDetails, OrderSummary
from query_service.documentation import query
from query_service.journals import HISTORY_LIST, HistoryPage, HistoryQuery
from query_service.orders.handlers import OrderQueries, OrdersQuery
from query_service.problems import ORDER_NOT_FOUND
from query_service.read_model.reading import ReadModel

_LIST = """All orders, those of a customer, those in a state, or those of a customer in a state; each costs the same
at any number of orders. An order whose state changes moves to another state's list. A cursor never expires."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders, and where the list goes on; null at its end only."""

    items: list[OrderSummary]
    next_cursor: str | None


def operations(read_model: ReadModel) -> list[Operation]:
    queries = OrderQueries(read_model)
    return [
        query(
            "/orders",
            "list_orders",
            "Orders, the newest first",
            queries.several,
            "orders",
            OrderPage,
            description=_LIST,
            parameters=OrdersQuery,
            paged=True,
        ),
        query(
            "/orders/{id}",
            "get_order",
            "Find an order by its id",
            queries.by_id,
            "orders",
            OrderDetails,
            path_parameters={"id": UUID_PARAMETER},
            not_found=(ORDER_NOT_FOUND,),
        ),
        query(
            "/orders/{id}/history",
            "get_order_history",
            "What happened to an order",
            queries.history,
            "orders",
            HistoryPage,
            description=HISTORY_LIST,
            path_parameters={"id": UUID_PARAMETER},
            parameters=HistoryQuery,
            not_found=(ORDER_NOT_FOUND,),
            paged=True,
        ),
    ]
