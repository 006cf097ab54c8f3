"""Where the catalogue's commands come in."""

from typing import Final

from command_service.api import CommandRoute
from command_service.problems import PRODUCT_EXISTS, PRODUCT_NOT_FOUND, SKU_TAKEN

from .domain.add_new_product import AddNewProduct
from .domain.change_price import ChangePrice
from .domain.discontinue_product import DiscontinueProduct
from .domain.relist_product import RelistProduct
from .domain.update_product_details import UpdateProductDetails

_TAG: Final = "catalogue"

ROUTES: Final = (
    CommandRoute(
        "POST",
        "/products",
        AddNewProduct,
        _TAG,
        "Add a product",
        (PRODUCT_EXISTS, SKU_TAKEN),
        location="/products/{id}",
    ),
    CommandRoute(
        "PATCH", "/products/{id}", UpdateProductDetails, _TAG, "Change a product's details", (PRODUCT_NOT_FOUND,)
    ),
    CommandRoute(
        "POST", "/products/{id}/price-changes", ChangePrice, _TAG, "Change a product's price", (PRODUCT_NOT_FOUND,)
    ),
    CommandRoute(
        "DELETE",
        "/products/{id}",
        DiscontinueProduct,
        _TAG,
        "Take a product out of the shop window",
        (PRODUCT_NOT_FOUND,),
        body="none",
    ),
    CommandRoute(
        "POST",
        "/products/{id}/relistings",
        RelistProduct,
        _TAG,
        "Put a discontinued product back",
        (PRODUCT_NOT_FOUND,),
        body="none",
    ),
)
