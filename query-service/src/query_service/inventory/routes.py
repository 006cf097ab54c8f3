"""The addresses of stock."""

from dataclasses import dataclass

from chassis.http import UUID_PARAMETER, Operation
from contracts.documents import ProductInventory
from query_service.documentation import query
from query_service.inventory.handlers import InventoryQueries, InventoryQuery
from query_service.problems import PRODUCT_NOT_FOUND
from query_service.read_model.reading import ReadModel


@dataclass(frozen=True, slots=True)
class InventoryPage:
    """Stock of several products, and where the list goes on; null at its end only."""

    items: list[ProductInventory]
    next_cursor: str | None


def operations(read_model: ReadModel) -> list[Operation]:
    queries = InventoryQueries(read_model)
    return [
        query(
            "/inventory",
            "list_inventory",
            "Stock of all products, the least available first",
            queries.several,
            "inventory",
            InventoryPage,
            description="`out_of_stock=true` for what is out of stock, `max_available=5` for what is low.",
            parameters=InventoryQuery,
            paged=True,
        ),
        query(
            "/inventory/{product_id}",
            "get_inventory",
            "Stock of one product",
            queries.by_product,
            "inventory",
            ProductInventory,
            path_parameters={"product_id": UUID_PARAMETER},
            not_found=(PRODUCT_NOT_FOUND,),
        ),
    ]
