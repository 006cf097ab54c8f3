"""The problem types of the write side, and the rejections that carry them.

Rejection
├── NotThere            404  ProductNotFound
├── VersionMismatch     412
└── Conflict            409  ProductExists, SkuTaken, InsufficientStock
"""

from typing import ClassVar, Final

from chassis.problems import ProblemType
from command_service.decider import Rejection

PRODUCT_NOT_FOUND = ProblemType(
    "product-not-found", 404, "No such product", "No product with this id has ever been added. Check the id."
)
STREAM_NOT_FOUND = ProblemType(
    "stream-not-found", 404, "No such stream", "Nothing has ever happened under this stream id."
)
PRODUCT_EXISTS = ProblemType(
    "product-exists",
    409,
    "The product exists already",
    "A product with the id that you chose was added before. Choose another id, or change the product that is there.",
)
SKU_TAKEN = ProblemType(
    "sku-taken",
    409,
    "The SKU is taken",
    "Another product has this SKU; a discontinued product keeps its own. Choose another SKU.",
)
INSUFFICIENT_STOCK = ProblemType(
    "insufficient-stock",
    409,
    "Not enough in stock",
    "`lines` names each product of which more was requested than is available. Nothing was taken.",
)
VERSION_MISMATCH = ProblemType(
    "version-mismatch",
    412,
    "The version has changed",
    "If-Match names another version than the current one: somebody else was quicker. Read again, then decide.",
)
KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "The Idempotency-Key was used for something else",
    "The same key came before with another command, other data or another If-Match. Use a new key for a new command.",
)

ALL: Final = (
    PRODUCT_NOT_FOUND,
    STREAM_NOT_FOUND,
    PRODUCT_EXISTS,
    SKU_TAKEN,
    INSUFFICIENT_STOCK,
    VERSION_MISMATCH,
    KEY_REUSED,
)


class NotThere(Rejection):
    """What the command is about does not exist. Comes before every other refusal."""


class ProductNotFound(NotThere):
    kind: ClassVar = PRODUCT_NOT_FOUND

    def __init__(self, product_id: str) -> None:
        super().__init__(f"There is no product {product_id}.")


class VersionMismatch(Rejection):
    kind: ClassVar = VERSION_MISMATCH

    def __init__(self, current: int) -> None:
        super().__init__(f"The current version is {current}." if current else "It does not exist yet.")


class Conflict(Rejection):
    """The state of the shop does not allow it."""


class ProductExists(Conflict):
    kind: ClassVar = PRODUCT_EXISTS

    def __init__(self, product_id: str) -> None:
        super().__init__(f"There is a product {product_id} already.")


class SkuTaken(Conflict):
    kind: ClassVar = SKU_TAKEN

    def __init__(self, sku: str) -> None:
        super().__init__(f"Another product has the SKU {sku!r}.")


class InsufficientStock(Conflict):
    kind: ClassVar = INSUFFICIENT_STOCK

    def __init__(self, short: list[tuple[str, int, int]]) -> None:
        """`short` has (product id, requested, available) for every line that can't be served."""
        lines = [{"product_id": p, "requested": r, "available": a} for p, r, a in short]
        super().__init__(f"{len(lines)} line(s) ask for more than is available.", lines=lines)
