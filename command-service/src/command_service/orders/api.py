"""Where the orders' commands come in."""

from typing import Final

from command_service.api import CommandRoute
from command_service.problems import (
    AMOUNT_MISMATCH,
    INSUFFICIENT_STOCK,
    ORDER_EXISTS,
    ORDER_NOT_CANCELLABLE,
    ORDER_NOT_FOUND,
    ORDER_NOT_PAYABLE,
    ORDER_NOT_RETURNABLE,
    ORDER_NOT_SHIPPABLE,
    ORDER_TOO_LARGE,
    PRICE_CHANGED,
    PRODUCT_DISCONTINUED,
    PRODUCT_NOT_FOUND,
)

from .domain.cancel_order import CancelOrder
from .domain.confirm_payment import ConfirmPayment
from .domain.place_order import PlaceOrder
from .domain.return_items import ReturnItems
from .domain.ship_order import ShipOrder

_TAG: Final = "orders"

ROUTES: Final = (
    CommandRoute(
        "POST",
        "/orders",
        PlaceOrder,
        _TAG,
        "Place an order",
        (PRODUCT_NOT_FOUND, ORDER_EXISTS, PRODUCT_DISCONTINUED, PRICE_CHANGED, INSUFFICIENT_STOCK, ORDER_TOO_LARGE),
        location="/orders/{id}",
    ),
    CommandRoute(
        "POST",
        "/orders/{id}/payments",
        ConfirmPayment,
        _TAG,
        "The order was paid",
        (ORDER_NOT_FOUND, ORDER_NOT_PAYABLE, AMOUNT_MISMATCH),
    ),
    CommandRoute(
        "POST",
        "/orders/{id}/shipments",
        ShipOrder,
        _TAG,
        "Items of the order were shipped",
        (ORDER_NOT_FOUND, ORDER_NOT_SHIPPABLE, INSUFFICIENT_STOCK),
        body="optional",
    ),
    CommandRoute(
        "POST",
        "/orders/{id}/cancellation",
        CancelOrder,
        _TAG,
        "Cancel the order",
        (ORDER_NOT_FOUND, ORDER_NOT_CANCELLABLE),
        body="optional",
    ),
    CommandRoute(
        "POST",
        "/orders/{id}/returns",
        ReturnItems,
        _TAG,
        "Items of the order came back",
        (ORDER_NOT_FOUND, ORDER_NOT_RETURNABLE),
    ),
)
