"""The problem types of the write side, and the rejections that carry them.

Rejection
├── NotThere            404  ProductNotFound, OrderNotFound
├── VersionMismatch     412
└── Conflict            409  ProductExists, SkuTaken, InsufficientStock, ProductDiscontinued, PriceChanged, OrderExists,
                             OrderTooLarge, OrderNotPayable, AmountMismatch, OrderNotShippable, OrderNotCancellable,
                             OrderNotReturnable
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
PRODUCT_DISCONTINUED = ProblemType(
    "product-discontinued",
    409,
    "A product is not sold any more",
    "`product_ids` names the discontinued products among the order's lines. Nothing was reserved.",
)
PRICE_CHANGED = ProblemType(
    "price-changed",
    409,
    "A price has changed",
    "`lines` names each product whose price is another than the `expected_price`. Nothing was reserved; show the new "
    "price to your customer and order again.",
)
ORDER_NOT_FOUND = ProblemType(
    "order-not-found", 404, "No such order", "No order with this id has ever been placed. Check the id."
)
ORDER_EXISTS = ProblemType(
    "order-exists",
    409,
    "The order exists already",
    "An order with the id that you chose was placed before. Choose another id; to repeat a command, repeat its "
    "Idempotency-Key.",
)
ORDER_TOO_LARGE = ProblemType(
    "order-too-large", 409, "The order's total is too large", "An order's total must be less than 10^11."
)
ORDER_NOT_PAYABLE = ProblemType(
    "order-not-payable",
    409,
    "The order can't be paid",
    "Only a placed order can be paid, once. It was paid otherwise before, cancelled, or expired.",
)
AMOUNT_MISMATCH = ProblemType(
    "amount-mismatch",
    409,
    "The amount is not the order's total",
    "An order is paid whole: `total` is what it costs. Nothing was recorded.",
)
ORDER_NOT_SHIPPABLE = ProblemType(
    "order-not-shippable",
    409,
    "The order can't be shipped like this",
    "Only a paid order can be shipped, and no more of a product than is left to ship.",
)
ORDER_NOT_CANCELLABLE = ProblemType(
    "order-not-cancellable",
    409,
    "The order can't be cancelled",
    "It was shipped whole; what the customer sends back is a return.",
)
ORDER_NOT_RETURNABLE = ProblemType(
    "order-not-returnable",
    409,
    "The items can't be returned like this",
    "Only what was shipped can be returned, each piece once.",
)
COMMAND_NOT_FOUND = ProblemType(
    "command-not-found",
    404,
    "No such command",
    "No command with this id was ever accepted or executed; or it is so old that its receipt was forgotten.",
)
PARTITION_NOT_FOUND = ProblemType(
    "partition-not-found", 404, "No such partition", "Partitions are counted from 0; `/system` says how many there are."
)
EVENT_NOT_FOUND = ProblemType(
    "event-not-found", 404, "No such event", "The log has no event with this id, which is `<stream>@<version>`."
)
GENERATION_NOT_FOUND = ProblemType(
    "generation-not-found",
    404,
    "No such generation",
    "No generation of the read model has this number, or it was dropped. `/generations` lists those that there are.",
)
GENERATION_BUILDING = ProblemType(
    "generation-building",
    409,
    "A generation is being built already",
    "Rebuilds don't overlap. Continue the one under way, or drop the generation that `number` names.",
)
GENERATION_LIVE = ProblemType(
    "generation-live",
    409,
    "The generation is live",
    "Queries are answered from it, so that it can't be dropped. Switch to another one first.",
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
    PRODUCT_DISCONTINUED,
    PRICE_CHANGED,
    ORDER_NOT_FOUND,
    ORDER_EXISTS,
    ORDER_TOO_LARGE,
    ORDER_NOT_PAYABLE,
    AMOUNT_MISMATCH,
    ORDER_NOT_SHIPPABLE,
    ORDER_NOT_CANCELLABLE,
    ORDER_NOT_RETURNABLE,
    COMMAND_NOT_FOUND,
    PARTITION_NOT_FOUND,
    EVENT_NOT_FOUND,
    GENERATION_NOT_FOUND,
    GENERATION_BUILDING,
    GENERATION_LIVE,
    VERSION_MISMATCH,
    KEY_REUSED,
)


class NotThere(Rejection):
    """What the command is about does not exist. Comes before every other refusal."""


class ProductNotFound(NotThere):
    kind: ClassVar = PRODUCT_NOT_FOUND

    def __init__(self, product_id: str) -> None:
        super().__init__(f"There is no product {product_id}.")


class OrderNotFound(NotThere):
    kind: ClassVar = ORDER_NOT_FOUND

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is no order {order_id}.")


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


class ProductDiscontinued(Conflict):
    kind: ClassVar = PRODUCT_DISCONTINUED

    def __init__(self, product_ids: list[str]) -> None:
        super().__init__(f"{len(product_ids)} product(s) are discontinued.", product_ids=product_ids)


class PriceChanged(Conflict):
    kind: ClassVar = PRICE_CHANGED

    def __init__(self, changed: list[tuple[str, str, str]]) -> None:
        """`changed` has (product id, expected price, price) for every line that expected another price."""
        lines = [{"product_id": p, "expected_price": e, "price": now} for p, e, now in changed]
        super().__init__(f"{len(lines)} line(s) expect another price.", lines=lines)


class OrderExists(Conflict):
    kind: ClassVar = ORDER_EXISTS

    def __init__(self, order_id: str) -> None:
        super().__init__(f"There is an order {order_id} already.")


class OrderTooLarge(Conflict):
    kind: ClassVar = ORDER_TOO_LARGE

    def __init__(self) -> None:
        super().__init__("The order's total would be 10^11 or more.")


class OrderNotPayable(Conflict):
    kind: ClassVar = ORDER_NOT_PAYABLE


class AmountMismatch(Conflict):
    kind: ClassVar = AMOUNT_MISMATCH

    def __init__(self, amount: str, total: str) -> None:
        super().__init__(f"The amount is {amount}, the order's total {total}.", amount=amount, total=total)


class OrderNotShippable(Conflict):
    kind: ClassVar = ORDER_NOT_SHIPPABLE


class OrderNotCancellable(Conflict):
    kind: ClassVar = ORDER_NOT_CANCELLABLE


class OrderNotReturnable(Conflict):
    kind: ClassVar = ORDER_NOT_RETURNABLE
