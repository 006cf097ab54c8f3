"""What the read model must show, folded from the log's feed by a second, plain program: none of our code is in it."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import httpx

from system import QUIET_SECONDS, System, wait_for


def whole_log(command: httpx.Client) -> Iterator[dict[str, Any]]:
    """Every event, from the feed."""
    after = 0
    while True:
        lines = command.get("/events", params={"after": after, "limit": 5000}).text.splitlines()
        if not lines:
            return
        for line in lines:
            event = json.loads(line)
            after = int(event["sequence"])
            yield event


def expected_products(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Product id → what `GET /products/{id}` must say, without the fields that need no folding."""
    products: dict[str, dict[str, Any]] = {}
    for event in events:
        kind, data, key = event["subject"].partition("-")[0], event["data"], event["partitionkey"]
        if kind in ("order", "stockalert"):
            continue
        empty = {"on_hand": 0, "reserved": 0, "ratings": {}, "version": 0, "is_discontinued": False}
        product = products.setdefault(key, empty)
        match event["type"]:
            case "ProductAdded":
                product |= {k: data[k] for k in ("name", "price", "sku", "category", "description")}
            case "ProductDetailsUpdated":
                product |= {k: data[k] for k in ("name", "category", "description")}
            case "PriceChanged":
                product["price"] = data["price"]
            case "ProductDiscontinued":
                product["is_discontinued"] = True
            case "ProductRelisted":
                product["is_discontinued"] = False
            case "InventoryOpened" | "StockAdded" | "ItemsRestocked":
                product["on_hand"] += data["quantity"]
            case "StockRecounted":
                product["on_hand"] = data["counted_quantity"]
            case "ItemsShipped":
                product["on_hand"] -= data["quantity"]
            case "StockReserved":
                product["reserved"] += data["quantity"]
            case "ReservationReleased":
                product["reserved"] -= data["quantity"]
            case "ReservedItemsShipped":
                product["on_hand"] -= data["quantity"]
                product["reserved"] -= data["quantity"]
            case "ProductRated":
                product["ratings"][data["user_id"]] = data["rating"]
            case "RatingWithdrawn":
                del product["ratings"][data["user_id"]]
            case unknown:
                raise AssertionError(f"the model does not know {unknown}")
        assert product["on_hand"] >= 0 <= product["reserved"], (key, product)
        if kind == "product":
            product["version"] = event["streamversion"]
    return products


def expected_orders(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Order id → status, total, and for each line (shipped, returned, cancelled)."""
    orders: dict[str, dict[str, Any]] = {}
    for event in events:
        if not event["subject"].startswith("order-"):
            continue
        data, key = event["data"], event["partitionkey"]
        if event["type"] == "OrderPlaced":
            quantities = [line["quantity"] for line in data["lines"]]
            orders[key] = {"total": data["total"], "ordered": quantities, "lines": [[0, 0, 0] for _ in quantities]}
        order = orders[key]
        order["version"] = event["streamversion"]
        order["status"] = _status_after(event["type"], data, order)
    return orders


def _status_after(kind: str, data: dict[str, Any], order: dict[str, Any]) -> str:
    lines = order["lines"]
    if kind == "OrderPlaced":
        return "placed"
    if kind == "OrderPaid":
        return "paid"
    if kind in ("OrderCancelled", "OrderExpired"):
        order["lines"] = [[0, 0, ordered] for ordered in order["ordered"]]
        return "cancelled"
    which = {"OrderItemsShipped": 0, "OrderItemsReturned": 1, "RemainingItemsCancelled": 2}[kind]
    for change in data["lines"]:
        lines[change["line"]][which] += change["quantity"]
    if any(ordered > line[0] + line[2] for ordered, line in zip(order["ordered"], lines, strict=True)):
        return "partially_shipped"
    if not any(line[1] for line in lines):
        return "shipped"
    return "returned" if all(line[0] == line[1] for line in lines) else "partially_returned"


def expected_sales(events: Iterable[dict[str, Any]]) -> dict[str, list[Decimal | int]]:
    """Day → orders, units, revenue, cancelled orders, returned units, refunds."""
    units: dict[str, int] = {}
    days: dict[str, list[Decimal | int]] = {}
    for event in events:
        data, key = event["data"], event["partitionkey"]
        if event["type"] == "OrderPlaced":
            units[key] = sum(line["quantity"] for line in data["lines"])
        change: list[Decimal | int] = [0, 0, Decimal(0), 0, 0, Decimal(data.get("refund", 0))]
        match event["type"]:
            case "OrderPaid":
                change[:3] = [1, units[key], Decimal(data["amount"])]
            case "OrderCancelled" | "OrderExpired":
                change[3] = 1
            case "OrderItemsReturned":
                change[4] = sum(line["quantity"] for line in data["lines"])
            case "RemainingItemsCancelled":
                pass
            case _:
                continue
        day = days.setdefault(event["time"][:10], [0, 0, Decimal(0), 0, 0, Decimal(0)])
        days[event["time"][:10]] = [a + b for a, b in zip(day, change, strict=True)]
    return days


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """The same fields of a `ProductDisplay`, its ratings as a histogram."""
    kept = ("name", "price", "sku", "category", "description", "available", "version", "is_discontinued")
    return {**{field: document[field] for field in kept}, "histogram": document["rating_histogram"]}


def _with_histogram(product: dict[str, Any]) -> dict[str, Any]:
    ratings = list(product.pop("ratings").values())
    product["available"] = max(0, product.pop("on_hand") - product.pop("reserved"))
    return {**product, "histogram": {str(n): ratings.count(n) for n in range(1, 6)}}


def difference(system: System) -> dict[str, Any]:
    """Product id → (expected, shown) wherever the read model differs from the log. Empty: they are equal."""
    log = list(whole_log(system.command))
    expected = {k: _with_histogram(v) for k, v in expected_products(log).items()}
    found: dict[str, Any] = {}
    ids = list(expected)
    for start in range(0, len(ids), 100):
        response = system.query.get("/products", params={"ids": ",".join(ids[start : start + 100])})
        if response.status_code != 200:
            return {"the query service": (200, response.text)}
        found |= {item["id"]: shown(item) for item in response.json()["items"]}
    wrong: dict[str, Any] = {i: (expected[i], found.get(i)) for i in ids if expected[i] != found.get(i)}
    listed = _listed(system)
    should = {i for i, product in expected.items() if not product["is_discontinued"]}
    if listed != should:
        wrong["the list"] = (should - listed, listed - should)
    return wrong | _different_orders(system, log) | _different_sales(system, log)


def _different_orders(system: System, log: list[dict[str, Any]]) -> dict[str, Any]:
    wrong: dict[str, Any] = {}
    for order_id, order in expected_orders(log).items():
        document = system.query.get(f"/orders/{order_id}").json()
        lines = [[line[k] for k in ("shipped", "returned", "cancelled")] for line in document.get("lines", ())]
        found = {k: document.get(k) for k in ("status", "total", "version")} | {"lines": lines}
        del order["ordered"]
        if found != order:
            wrong[order_id] = (order, found)
    return wrong


def _different_sales(system: System, log: list[dict[str, Any]]) -> dict[str, Any]:
    wrong: dict[str, Any] = {}
    for day, sums in expected_sales(log).items():
        found = system.query.get("/sales/daily", params={"from": day, "to": day}).json()["items"][0]
        counts = [found[k] for k in ("orders", "units", "revenue", "cancelled_orders", "returned_units", "refunds")]
        counts[2], counts[5] = Decimal(counts[2]), Decimal(counts[5])
        if counts != sums:
            wrong[f"sales of {day}"] = (sums, counts)
    return wrong


def _listed(system: System) -> set[str]:
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = system.query.get("/products", params={"limit": 100, "sort": "name", **cursor}).json()
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            assert len(ids) == len(set(ids)), "a product is listed twice"
            return set(ids)
        cursor = {"cursor": page["next_cursor"]}


def wait_until_level(system: System) -> None:
    """Until the read model equals the log, without anyone's help."""
    last: dict[str, Any] = {}

    def level() -> bool:
        last.clear()
        last.update(difference(system))
        return not last

    try:
        wait_for("the read model equals the log", level, QUIET_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; differences: {dict(list(last.items())[:3])}") from None
