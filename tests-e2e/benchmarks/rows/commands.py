"""One command over HTTP, beside the same shop as plain CRUD and beside a route that does nothing."""

from typing import Any

import orjson

from benchmarks import workload
from benchmarks.backlog import watched
from benchmarks.bench import Bench, Request
from benchmarks.figures import LOWER, NONE, Line, Result, figure, share_of, times

TITLE = "One command over HTTP"
PRODUCT = orjson.dumps({"name": "Espresso machine", "price": "349.99", "category": "Kitchen"}).decode()
ORDERED = 1_000
"""Products that orders name."""

KINDS = {"POST /products": 0.5, "POST /orders": 1.0}
"""What is sent, and which share of its events concerns the process managers."""


def requests_of(kind: str, ids: list[str]) -> list[Request]:
    if kind == "POST /products":
        return [("POST", "/products", PRODUCT)]
    return [("POST", "/orders", order(product_id)) for product_id in ids]


def order(product_id: str) -> str:
    return orjson.dumps({"customer_id": "ann", "lines": [{"product_id": product_id, "quantity": 1}]}).decode()


def measure(bench: Bench) -> Result:
    result = Result()
    ids = [workload.identifier(1, number) for number in range(ORDERED)]
    with bench.shop() as shop, bench.database() as crud:
        bench.tell("filling the shops")
        shop.fill("stocked", ORDERED)
        bench.peer("crud_shop", {"url": crud, "count": ORDERED, "ratings": 0, "on_hand": workload.PLENTY})
        crud_url = crud.replace("postgresql://", "postgresql+asyncpg://")
        for kind, managed in KINDS.items():
            requests = requests_of(kind, ids)

            def ours(requests: list[Request] = requests, managed: float = managed) -> dict[str, Any]:
                with shop.running():
                    shop.becomes_level()
                    with watched(shop, managed) as backlog:
                        seen = bench.closed_loop(shop.command_urls, requests, 201)
                    shop.becomes_level()
                return {**seen, "backlog": backlog.seen(seen)}

            def crud_shop(requests: list[Request] = requests) -> dict[str, Any]:
                with bench.served("crud_shop", bench.settings.apis, CRUD_URL=crud_url) as urls:
                    return bench.closed_loop(urls, requests, 201)

            def no_op(requests: list[Request] = requests) -> dict[str, Any]:
                with bench.served("no_op", bench.settings.apis) as urls:
                    return bench.closed_loop(urls, requests, 201)

            seen = bench.rounds({"Stockroom": ours, "CRUD": crud_shop, "a route that does nothing": no_op})
            result.lines += lines(kind, seen)
            result.notes.append(note(kind, [one["backlog"] for one in seen["Stockroom"]]))
            result.details[kind] = seen
    return result


def lines(kind: str, seen: dict[str, list[dict[str, Any]]]) -> list[Line]:
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    late = {side: figure("ms", [one["latency"]["0.99"] * 1e3 for one in rounds]) for side, rounds in seen.items()}
    growing = [0.0 if one["backlog"]["bounded"] else 1.0 for one in seen["Stockroom"]]
    nothing = rates["a route that does nothing"]
    return [
        Line(kind, rates["Stockroom"], "CRUD", rates["CRUD"], times(4)),
        Line(f"{kind}, p99", late["Stockroom"], "CRUD", late["CRUD"], LOWER),
        Line(kind, rates["Stockroom"], "a route that does nothing", nothing, share_of(0.6)),
        Line(f"{kind}, rounds in which the backlog grew", figure("rounds", [sum(growing)]), reach=NONE),
    ]


def note(kind: str, backlogs: list[dict[str, Any]]) -> str:
    most = max((much for backlog in backlogs for _, much in (*backlog["shown"], *backlog["handled"])), default=0.0)
    rate = max(backlog["events_per_second"] for backlog in backlogs)
    return f"{kind}: at {rate:,.0f} events/s no subscriber was ever more than {most:,.0f} events behind"
