"""The read model over HTTP against what the log says it must be: every document, list, search and sum."""

import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import httpx

from chaos.expected import HISTORY_LENGTH, Document, Expected, fold
from chaos.log import Log, Logged
from chaos.reading import content
from chaos.record import Record
from shop_model import expected_sales

SORTS: Final = ("name", "price", "-price", "-rating", "-created_at")
SEARCHES: Final = ("chai", "cote bl", "iphone 1", "wh 1000", "ravioli", "c1x", "sku 3", "sir c2", "witness", "nothing")


class _Differences:
    def __init__(self, query: httpx.Client) -> None:
        self._query = query
        self.found: list[str] = []

    def same(self, what: str, expected: Any, shown: Any) -> None:
        if expected != shown:
            self.found.append(f"{what}: the log says {expected}, shown is {shown}")

    def get(self, path: str, **parameters: Any) -> Any:
        """The body; a text that says why there is none."""
        answer = self._query.get(path, params=parameters)
        return answer.json() if answer.status_code == 200 else f"{answer.status_code} {answer.text}"

    def all(self, path: str, **parameters: Any) -> list[Any]:
        """Every item of a list, page after page."""
        items: list[Any] = []
        while True:
            page = self.get(path, limit=100, **parameters)
            if isinstance(page, str):
                return [page]
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            parameters["cursor"] = page["next_cursor"]


def differences(query: httpx.Client, log: Log) -> list[str]:
    """Each place where the read model is not what it must be; empty: there is none."""
    expected, seen = fold(log.events), _Differences(query)
    for check in (_products, _lists, _searches, _ratings, _inventories, _orders, _order_lists, _histories, _related):
        check(expected, seen)
    seen.same("alerts", expected.alerts[::-1], seen.all("/alerts"))
    for day, sums in expected_sales(map(_fed, log.events)).items():
        shown = seen.get("/sales/daily", **{"from": day, "to": day})["items"][0]
        units = [shown["orders"], shown["units"], shown["cancelled_orders"], shown["returned_units"]]
        seen.same(f"sales of {day}", [sums[0], sums[1], sums[3], sums[4]], units)
        seen.same(f"money of {day}", [sums[2], sums[5]], [Decimal(shown["revenue"]), Decimal(shown["refunds"])])
    return seen.found


def check_shown(log: Log, record: Record) -> None:
    """Whatever any query ever showed of a version of a stream is what the log says of it."""
    truth = fold(log.events).shown
    for (stream, version), shown in record.shown.items():
        document = truth.get((stream, version))
        if document is None:
            record.matrix.find("stale", f"{stream} was shown at version {version}, which the log does not have")
        elif content(stream, document) != shown:
            record.matrix.find("stale", f"{stream} at version {version} was shown as {shown}, the log says {document}")


def _fed(event: Logged) -> Document:
    """An event as the feed gives it, which is what the plain model of the shop reads."""
    return {"type": event.type, "data": event.data, "partitionkey": event.key, "time": event.time}


def _listed(expected: Expected) -> list[Document]:
    return [product for product in expected.products.values() if not product["is_discontinued"]]


def _products(expected: Expected, seen: _Differences) -> None:
    ids = list(expected.products)
    shown: dict[str, Document] = {}
    for start in range(0, len(ids), 100):
        page = seen.get("/products", ids=",".join(ids[start : start + 100]))
        if isinstance(page, str):
            return seen.found.append(page)
        shown |= {item["id"]: item for item in page["items"]}
    for product_id, product in expected.products.items():
        seen.same(f"product {product_id}", product, shown.get(product_id))
        if product["sku"] is not None:
            seen.same(f"SKU {product['sku']}", product, seen.get(f"/products/by-sku/{product['sku']}"))
    return None


def _lists(expected: Expected, seen: _Differences) -> None:
    categories = sorted({p["category"] for p in _listed(expected)} - {None}, key=lambda name: (_folded(name), name))
    counts = [{"category": c, "products": sum(p["category"] == c for p in _listed(expected))} for c in categories]
    seen.same("categories", counts, seen.get("/categories")["items"])
    for sort in SORTS:
        in_order = _sorted(_listed(expected), sort)
        seen.same(f"list by {sort}", _ids(in_order), _ids(seen.all("/products", sort=sort)))
        for category in categories[::7]:
            its = [p["id"] for p in in_order if p["category"] == category]
            seen.same(f"{category} by {sort}", its, _ids(seen.all("/products", sort=sort, category=category)))


def _sorted(products: Sequence[Document], sort: str) -> list[Document]:
    by_id = sorted(products, key=lambda p: p["id"])
    keys: dict[str, Callable[[Document], Any]] = {
        "name": lambda p: (_folded(p["name"]) + "\0").encode(),
        "price": lambda p: Decimal(p["price"]),
        "-price": lambda p: -Decimal(p["price"]),
        "-rating": lambda p: (p["user_rating"] is None, -(p["user_rating"] or 0)),
    }
    if sort == "-created_at":
        # Stable in both directions: of two that were added at once the smaller id comes first.
        return sorted(by_id, key=lambda p: p["created_at"], reverse=True)
    return sorted(by_id, key=keys[sort])


def _searches(expected: Expected, seen: _Differences) -> None:
    for words in SEARCHES:
        found = [p for p in _sorted(_listed(expected), "-created_at") if _matches(p, words)]
        seen.same(f"search for {words!r}", _ids(found), _ids(seen.all("/products", search=words)))


def _matches(product: Document, query: str) -> bool:
    words = [*_words(product["name"]), *_words(product["sku"] or "")]
    return all(any(word.startswith(prefix) for word in words) for prefix in _words(query))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in _folded(text)).split()


def _folded(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def _ids(items: Sequence[Any]) -> list[Any]:
    return [item["id"] if isinstance(item, dict) else item for item in items]


def _ratings(expected: Expected, seen: _Differences) -> None:
    for (product, user), rating in expected.ratings.items():
        seen.same(f"rating of {product} by {user}", rating, seen.get(f"/products/{product}/ratings/{user}"))


def _inventories(expected: Expected, seen: _Differences) -> None:
    in_order = sorted(expected.inventories.values(), key=lambda stock: (stock["available"], stock["id"]))
    seen.same("stock", in_order, seen.all("/inventory", max_available=10**9))
    out = [stock for stock in in_order if stock["available"] == 0]
    seen.same("what is out of stock", out, seen.all("/inventory", out_of_stock="true"))


def _orders(expected: Expected, seen: _Differences) -> None:
    for order_id, order in expected.orders.items():
        seen.same(f"order {order_id}", order, seen.get(f"/orders/{order_id}"))


def _order_lists(expected: Expected, seen: _Differences) -> None:
    newest = sorted(sorted(expected.orders.values(), key=lambda o: o["id"]), key=lambda o: o["placed_at"], reverse=True)
    summaries = [
        {k: order[k] for k in ("id", "customer_id", "status", "total", "currency", "placed_at")}
        | {"line_count": len(order["lines"])}
        for order in newest
    ]
    seen.same("orders", summaries, seen.all("/orders"))
    for field in ("customer_id", "status"):
        for value in {order[field] for order in newest}:
            its = [order["id"] for order in newest if order[field] == value]
            seen.same(f"orders of {value}", its, _ids(seen.all("/orders", **{field: value})))


def _histories(expected: Expected, seen: _Differences) -> None:
    for path, histories in (("products", expected.product_histories), ("orders", expected.order_histories)):
        for owner, entries in histories.items():
            newest = entries[: -HISTORY_LENGTH - 1 : -1]
            seen.same(f"history of {path}/{owner}", newest, seen.all(f"/{path}/{owner}/history"))


def _related(expected: Expected, seen: _Differences) -> None:
    for product_id, product in expected.products.items():
        together = sorted(expected.bought_with[product_id].items(), key=lambda entry: (-entry[1], entry[0]))
        its_category = [p for p in _listed(expected) if p["category"] == product["category"]]
        rated = _ids(_sorted(its_category, "-rating")) if product["category"] is not None else []
        candidates = dict.fromkeys([*(other for other, _ in together), *rated])
        on_sale = [i for i in candidates if i != product_id and not expected.products[i]["is_discontinued"]]
        seen.same(f"related to {product_id}", on_sale[:10], _ids(seen.get(f"/products/{product_id}/related")["items"]))
