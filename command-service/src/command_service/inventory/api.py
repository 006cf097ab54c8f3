"""Where the inventory's commands come in."""

from typing import Final

from command_service.api import CommandRoute
from command_service.problems import INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND

from .domain.add_to_inventory import AddToInventory
from .domain.confirm_items_shipped import ConfirmItemsShipped
from .domain.recount import UpdateStockFromInventoryRecount

_TAG: Final = "inventory"

ROUTES: Final = (
    CommandRoute(
        "POST", "/inventory/{product_id}/additions", AddToInventory, _TAG, "Goods came in", (PRODUCT_NOT_FOUND,)
    ),
    CommandRoute(
        "POST",
        "/inventory/{product_id}/recounts",
        UpdateStockFromInventoryRecount,
        _TAG,
        "The shelf was counted",
        (PRODUCT_NOT_FOUND,),
    ),
    CommandRoute(
        "POST",
        "/inventory/{product_id}/shipments",
        ConfirmItemsShipped,
        _TAG,
        "Pieces left the shelf",
        (PRODUCT_NOT_FOUND, INSUFFICIENT_STOCK),
    ),
)
