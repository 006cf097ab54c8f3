"""Orders for the same three products, beside orders for a thousand; and that no piece is sold twice."""

from typing import Any

from benchmarks import workload
from benchmarks.bench import Bench, Request
from benchmarks.figures import NONE, Line, Result, figure, share_of
from benchmarks.rows.commands import order
from benchmarks.settings import CONNECTIONS
from benchmarks.shop import OurShop

TITLE = "Contention"
PRODUCTS = 1_000
CONTENDED = 3
PIECES = 100
"""Of the product that more want than there are."""


def measure(bench: Bench) -> Result:
    ids = [workload.identifier(1, number) for number in range(PRODUCTS)]
    with bench.shop() as shop:
        bench.tell("filling the shop")
        shop.fill("stocked", PRODUCTS)
        seen = bench.rounds(
            {
                "the same 3 products": lambda: place(bench, shop, ids[:CONTENDED]),
                "1,000 products": lambda: place(bench, shop, ids),
            }
        )
        bench.tell("more orders than there are pieces")
        oversold = figure("pieces", [oversell(bench, shop)])
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    contended, spread = rates["the same 3 products"], rates["1,000 products"]
    return Result(
        [
            Line("orders for the same 3 products", contended, "for 1,000 products", spread, share_of(0.7)),
            Line(f"sold beyond stock ({PIECES} pieces, {4 * PIECES} orders)", oversold, reach=NONE),
        ],
        details=seen,
    )


def place(bench: Bench, shop: OurShop, ids: list[str]) -> dict[str, Any]:
    requests: list[Request] = [("POST", "/orders", order(product_id)) for product_id in ids]
    with shop.running():
        shop.becomes_level()
        seen = bench.closed_loop(shop.command_urls, requests, 201)
        shop.becomes_level()
    return seen


def oversell(bench: Bench, shop: OurShop) -> float:
    """Pieces promised beyond those that there are, after all clients have asked for more than that."""
    with shop.running():
        added = shop.system.add_product(initial_stock=PIECES)
        product_id = added.json()["id"]
        asked = {"urls": shop.command_urls, "requests": [("POST", "/orders", order(product_id))], "most": 4 * PIECES}
        seen = bench.load("closed_loop", {**asked, "connections": CONNECTIONS, "seconds": 60.0})
        accepted = seen["statuses"].get("201", 0)
        assert set(seen["statuses"]) == {"201", "409"}, seen["statuses"]
        shop.becomes_level()
        shown = shop.system.read(f"/inventory/{product_id}").json()
    assert shown["reserved"] == accepted, f"{accepted} orders were accepted, but {shown} is shown"
    return float(accepted - PIECES)
