"""What the read model must show, folded from the log's feed by a second, plain program: none of our code is in it."""

import json
from collections.abc import Iterator
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


def expected_products(events: Iterator[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Product id → what `GET /products/{id}` must say, without the fields that need no folding."""
    products: dict[str, dict[str, Any]] = {}
    for event in events:
        data, key = event["data"], event["partitionkey"]
        product = products.setdefault(key, {"available": 0, "ratings": {}, "version": 0, "is_discontinued": False})
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
            case "InventoryOpened":
                product["available"] = data["quantity"]
            case "StockAdded":
                product["available"] += data["quantity"]
            case "StockRecounted":
                product["available"] = data["counted_quantity"]
            case "ItemsShipped":
                product["available"] -= data["quantity"]
            case "ProductRated":
                product["ratings"][data["user_id"]] = data["rating"]
            case "RatingWithdrawn":
                del product["ratings"][data["user_id"]]
            case unknown:
                raise AssertionError(f"the model does not know {unknown}")
        if event["subject"].startswith("product-"):
            product["version"] = event["streamversion"]
    return products


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """The same fields of a `ProductDisplay`, its ratings as a histogram."""
    kept = ("name", "price", "sku", "category", "description", "available", "version", "is_discontinued")
    return {**{field: document[field] for field in kept}, "histogram": document["rating_histogram"]}


def _with_histogram(product: dict[str, Any]) -> dict[str, Any]:
    ratings = list(product.pop("ratings").values())
    return {**product, "histogram": {str(n): ratings.count(n) for n in range(1, 6)}}


def difference(system: System) -> dict[str, Any]:
    """Product id → (expected, shown) wherever the read model differs from the log. Empty: they are equal."""
    expected = {k: _with_histogram(v) for k, v in expected_products(whole_log(system.command)).items()}
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
