"""What every query must answer at the end, folded from the log by a plain program: none of our code is in it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from chaos.log import Logged

Document = dict[str, Any]
HISTORY_LENGTH: Final = 1000
EXPIRED: Final = "payment deadline passed"


@dataclass(slots=True)
class Expected:
    """Documents by id. Histories and alerts are in the order of the log."""

    products: dict[str, Document] = field(default_factory=dict)
    inventories: dict[str, Document] = field(default_factory=dict)
    ratings: dict[tuple[str, str], Document] = field(default_factory=dict)
    orders: dict[str, Document] = field(default_factory=dict)
    product_histories: defaultdict[str, list[Document]] = field(default_factory=lambda: defaultdict(list))
    order_histories: defaultdict[str, list[Document]] = field(default_factory=lambda: defaultdict(list))
    alerts: list[Document] = field(default_factory=list)
    bought_with: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    shown: dict[tuple[str, int], Document] = field(default_factory=dict)
    """Stream and version → its document as it was then; of streams that have one."""


def fold(events: Iterable[Logged]) -> Expected:
    expected = Expected()
    for event in events:
        kind = event.stream.partition("-")[0]
        match kind:
            case "product":
                _product(expected, event)
            case "inventory":
                _inventory(expected, event)
            case "rating":
                _rating(expected, event)
            case "order":
                _order(expected, event)
            case "stockalert":
                threshold = event.data.get("threshold", 0)
                alert = {"product_id": event.key, "alert": event.type, "available": event.data["available"]}
                expected.alerts.append({**alert, "threshold": threshold, "at": event.time})
            case _:
                continue  # what a newer version of us would have written
        histories = expected.order_histories if kind == "order" else expected.product_histories
        entry = {"at": event.time, "event": event.type, "command": event.command_type, "command_id": event.command}
        histories[event.key].append({**entry, "version": event.version, "data": event.data})
    for product_id, product in expected.products.items():
        _complete(product, expected.inventories[product_id], expected.ratings, product_id)
    return expected


def _product(expected: Expected, event: Logged) -> None:
    data = event.data
    product = expected.products.setdefault(event.key, {"id": event.key, "is_discontinued": False})
    match event.type:
        case "ProductAdded":
            product |= data
            product |= {"created_at": event.time, "updated_at": event.time}
        case "ProductDetailsUpdated":
            product |= data
        case "PriceChanged":
            product["price"] = data["price"]
        case "ProductDiscontinued":
            product["is_discontinued"] = True
        case "ProductRelisted":
            product["is_discontinued"] = False
        case unknown:
            raise AssertionError(f"no rule for {unknown}")
    product["version"] = event.version
    product["updated_at"] = max(product["updated_at"], event.time)
    expected.shown[event.stream, event.version] = dict(product)


def _inventory(expected: Expected, event: Logged) -> None:
    stock = expected.inventories.setdefault(event.key, {"id": event.key, "current_stock": 0, "reserved": 0})
    data = event.data
    match event.type:
        case "InventoryOpened" | "StockAdded" | "ItemsRestocked":
            stock["current_stock"] += data["quantity"]
        case "StockRecounted":
            stock["current_stock"] = data["counted_quantity"]
        case "ItemsShipped":
            stock["current_stock"] -= data["quantity"]
        case "StockReserved":
            stock["reserved"] += data["quantity"]
        case "ReservationReleased":
            stock["reserved"] -= data["quantity"]
        case "ReservedItemsShipped":
            stock["current_stock"] -= data["quantity"]
            stock["reserved"] -= data["quantity"]
        case unknown:
            raise AssertionError(f"no rule for {unknown}")
    stock["available"] = max(0, stock["current_stock"] - stock["reserved"])
    stock["shortage"] = max(0, stock["reserved"] - stock["current_stock"])
    stock["version"] = event.version
    expected.shown[event.stream, event.version] = dict(stock)


def _rating(expected: Expected, event: Logged) -> None:
    user = event.data["user_id"]
    if event.type == "RatingWithdrawn":
        del expected.ratings[event.key, user]
        return
    rating = {"user_id": user, "rating": event.data["rating"], "version": event.version, "updated_at": event.time}
    expected.ratings[event.key, user] = rating


def _complete(product: Document, stock: Document, ratings: dict[tuple[str, str], Document], product_id: str) -> None:
    """What a product shows of its stock and ratings, and its inventory of its name."""
    stock |= {"name": product["name"], "sku": product["sku"]}
    product |= {"available": stock["available"], "is_out_of_stock": stock["available"] == 0}
    given = [rating["rating"] for (rated, _), rating in ratings.items() if rated == product_id]
    histogram = {str(stars): given.count(stars) for stars in range(1, 6)}
    average = Decimal(sum(given)) / len(given) if given else None
    shown = None if average is None else float(average.quantize(Decimal("0.01"), ROUND_HALF_UP))
    product |= {"user_rating": shown, "rating_count": len(given), "rating_histogram": histogram}


def _order(expected: Expected, event: Logged) -> None:
    data = event.data
    if event.type == "OrderPlaced":
        nothing = {"shipped": 0, "returned": 0, "cancelled": 0}
        expected.orders[event.key] = {
            "id": event.key,
            "customer_id": data["customer_id"],
            "status": "placed",
            "lines": [{**line, **nothing} for line in data["lines"]],
            "total": data["total"],
            "currency": data["currency"],
            "placed_at": event.time,
            "updated_at": event.time,
        }
    order = expected.orders[event.key]
    match event.type:
        case "OrderPlaced":
            pass
        case "OrderPaid":
            order |= {"status": "paid", "payment_reference": data["reference"]}
            _count_together(expected, order)
        case "OrderCancelled" | "OrderExpired":
            order |= {"status": "cancelled", "cancellation_reason": data.get("reason") or EXPIRED}
            order["lines"] = [{**line, "cancelled": line["quantity"]} for line in order["lines"]]
        case "OrderItemsShipped":
            _move(order, data, "shipped")
        case "OrderItemsReturned":
            _move(order, data, "returned")
        case "RemainingItemsCancelled":
            _move(order, data, "cancelled")
            order["cancellation_reason"] = data["reason"]
        case unknown:
            raise AssertionError(f"no rule for {unknown}")
    order["version"] = event.version
    order["updated_at"] = max(order["updated_at"], event.time)
    expected.shown[event.stream, event.version] = dict(order)


def _move(order: Document, data: Document, where: str) -> None:
    lines = [dict(line) for line in order["lines"]]
    for change in data["lines"]:
        lines[change["line"]][where] += change["quantity"]
    order["lines"] = lines
    if any(line["shipped"] + line["cancelled"] < line["quantity"] for line in lines):
        order["status"] = "partially_shipped"
    elif not any(line["returned"] for line in lines):
        order["status"] = "shipped"
    else:
        is_whole = all(line["returned"] == line["shipped"] for line in lines)
        order["status"] = "returned" if is_whole else "partially_returned"


def _count_together(expected: Expected, order: Document) -> None:
    products = {line["product_id"] for line in order["lines"]}
    for product in products:
        for other in products - {product}:
            expected.bought_with[product][other] += 1
