"""The problem types of the read side."""

from typing import Final

from chassis.problems import UNAVAILABLE, Problem, ProblemType

PRODUCT_NOT_FOUND = ProblemType(
    "product-not-found",
    404,
    "No such product",
    "No product with this id or SKU has been added, as far as the read model has seen. Send the `Consistency-Token` of "
    "the command that added it to be answered from a read model that has seen it.",
)
RATING_NOT_FOUND = ProblemType(
    "rating-not-found", 404, "No such rating", "The product exists, but this user has not rated it, or withdrew it."
)
ORDER_NOT_FOUND = ProblemType(
    "order-not-found",
    404,
    "No such order",
    "No order with this id has been placed, as far as the read model has seen. Send the `Consistency-Token` of the "
    "command that placed it to be answered from a read model that has seen it.",
)
INVALID_TOKEN = ProblemType(
    "invalid-token",
    400,
    "The consistency token can't be read",
    "Send `Consistency-Token` exactly as a command's answer gave it; several are separated by commas.",
)
READ_MODEL_BEHIND = ProblemType(
    "read-model-behind",
    503,
    "The read model is behind",
    "The read model has not yet seen what your `Consistency-Token` names, or it is being built anew. Nothing older was "
    "answered in its stead. Try again after `Retry-After` seconds, or wait longer with `Prefer: wait=N` (at most 30).",
)

ALL: Final = (PRODUCT_NOT_FOUND, RATING_NOT_FOUND, ORDER_NOT_FOUND, INVALID_TOKEN, READ_MODEL_BEHIND)

_RETRY_AFTER: Final = ((b"retry-after", b"1"),)


def no_product(product_id: str) -> Problem:
    return Problem(PRODUCT_NOT_FOUND, f"There is no product {product_id}.")


def no_order(order_id: str) -> Problem:
    return Problem(ORDER_NOT_FOUND, f"There is no order {order_id}.")


def behind(detail: str) -> Problem:
    return Problem(READ_MODEL_BEHIND, detail, headers=_RETRY_AFTER)


def unavailable() -> Problem:
    return Problem(UNAVAILABLE, "The read model can't be reached just now.", headers=_RETRY_AFTER)
