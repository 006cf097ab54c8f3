"""Where ratings come in."""

from typing import Final

from command_service.api import CommandRoute
from command_service.problems import PRODUCT_NOT_FOUND

from .domain.rate_product import RateProduct
from .domain.withdraw_rating import WithdrawRating

_TAG: Final = "ratings"
_PATH: Final = "/products/{id}/ratings/{user_id}"

ROUTES: Final = (
    CommandRoute("PUT", _PATH, RateProduct, _TAG, "Rate a product", (PRODUCT_NOT_FOUND,)),
    CommandRoute("DELETE", _PATH, WithdrawRating, _TAG, "Withdraw a rating", (PRODUCT_NOT_FOUND,), body="none"),
)
