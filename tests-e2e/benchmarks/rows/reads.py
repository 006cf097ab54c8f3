"""One product, a page of a category by price, and a search by name: beside the CRUD shop's, and beside bare bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, cast
from urllib.parse import quote

import httpx

from benchmarks import workload
from benchmarks.bench import Bench, Request
from benchmarks.figures import LOWER, Line, Result, figure, share_of, times
from benchmarks.shop import Measured, OurShop

ONE_TITLE = "One product"
LISTS_TITLE = "List and search"
RATINGS = 3
"""Of each product."""

ASKED = 2_000
"""Different requests, which go round."""


def one_product(count: int) -> list[Request]:
    random = Random(1)
    return [("GET", f"/products/{workload.identifier(1, random.randrange(count))}", None) for _ in range(ASKED)]


def by_price(count: int) -> list[Request]:
    """Pages within a category, from any price on."""
    random = Random(2)
    return [
        (
            "GET",
            f"/products?category={quote(workload.category(number))}&sort=price&limit=20"
            f"&min_price={random.randrange(1, 900)}",
            None,
        )
        for number in range(ASKED)
    ]


def by_name(count: int) -> list[Request]:
    """The beginning of a word of some product's name."""
    random = Random(3)
    names = (workload.name(random.randrange(count)) for _ in range(ASKED))
    return [("GET", f"/products?search={name.split()[0][:5].lower()}&limit=20", None) for name in names]


def measure_one(bench: Bench) -> Result:
    requests = one_product(bench.settings.products)
    with shops(bench) as (shop, crud_url):
        body = bench.folder / "document.json"
        with shop.running():
            body.write_bytes(httpx.get(f"{shop.system.queries.url}{requests[0][1]}").content)

        def bare() -> dict[str, Any]:
            with bench.served("bare_asgi", BARE_BYTES=str(body)) as urls:
                return bench.closed_loop(urls, requests, 200)

        seen = bench.rounds({**sides(bench, shop, crud_url, requests), "bare ASGI": bare})
    bare_rate = figure("/s", [one["rate"] for one in seen["bare ASGI"]])
    lines = compared("GET /products/{id}", seen)
    lines.append(Line("GET /products/{id}", lines[0].ours, "bare ASGI, the same bytes", bare_rate, share_of(0.5)))
    return Result(lines, details=seen)


def measure_lists(bench: Bench) -> Result:
    result = Result()
    with shops(bench) as (shop, crud_url):
        for what, requests in {
            "a page by price within a category": by_price(bench.settings.products),
            "search by the beginning of a word": by_name(bench.settings.products),
        }.items():
            seen = bench.rounds(
                {**sides(bench, shop, crud_url, requests), "no memory": from_redis(bench, shop, requests)}
            )
            result.lines += [*compared(what, seen), without_memory(what, seen)]
            result.details[what] = seen
    return result


@contextmanager
def shops(bench: Bench) -> Iterator[tuple[OurShop, str]]:
    """Ours and the CRUD shop, with the same products, stock and ratings."""
    count = bench.settings.products
    with bench.shop() as shop, bench.database() as crud:
        bench.tell("filling the shops")
        shop.fill("catalogue", 0, count, RATINGS)
        shop.prepare()
        bench.peer("crud_shop", {"url": crud, "count": count, "ratings": RATINGS})
        yield shop, crud.replace("postgresql://", "postgresql+asyncpg://")


def sides(bench: Bench, shop: OurShop, crud_url: str, requests: list[Request]) -> dict[str, Any]:
    def ours() -> dict[str, Any]:
        with shop.running():
            return bench.closed_loop(shop.query_urls, requests, 200)

    def crud() -> dict[str, Any]:
        with bench.served("crud_shop", CRUD_URL=crud_url) as urls:
            return bench.closed_loop(urls, requests, 200)

    return {"Stockroom": ours, "CRUD": crud}


def from_redis(bench: Bench, shop: OurShop, requests: list[Request]) -> Callable[[], dict[str, Any]]:
    """Every page read from Redis, none answered from memory: as if something of each were written all the time."""
    queries = cast(Measured, shop.system.queries).with_settings({"STOCKROOM_IMAGE_DOCUMENTS": "0"})

    def side() -> dict[str, Any]:
        with shop.running(queries):
            return bench.closed_loop([queries.url], requests, 200)

    return side


def without_memory(what: str, seen: dict[str, list[dict[str, Any]]]) -> Line:
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    return Line(f"{what}, none from memory", rates["no memory"], "CRUD", rates["CRUD"])


def compared(what: str, seen: dict[str, list[dict[str, Any]]]) -> list[Line]:
    def late(side: str) -> Any:
        return figure("ms", [one["latency"]["0.99"] * 1e3 for one in seen[side]])

    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    return [
        Line(what, rates["Stockroom"], "CRUD", rates["CRUD"], times(10)),
        Line(f"{what}, p99", late("Stockroom"), "CRUD", late("CRUD"), LOWER),
    ]
