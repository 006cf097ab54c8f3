"""Many clients at once: what each may rely on."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from system import System

pytestmark = pytest.mark.own_system


def together(clients: int, work: Callable[[int], Any]) -> list[Any]:
    """`work(n)` for every client, all beginning at the same moment."""
    barrier = threading.Barrier(clients)

    def begin(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(begin, range(clients)))


def test_clients_always_read_their_own_writes_in_documents_lists_and_searches(shop: System) -> None:
    rounds = 6

    def client(number: int) -> list[str]:
        stale: list[str] = []
        mine = f"ryw{number}x{uuid4().hex}"
        with httpx.Client(timeout=60) as http:
            added = http.post(f"{shop.api.url}/products", json={"name": mine, "price": "1", "category": mine})
            product_id = added.json()["id"]
            for n in range(rounds):
                price = f"{n + 2}.00"
                changed = http.post(f"{shop.api.url}/products/{product_id}/price-changes", json={"price": price})
                headers = {"Consistency-Token": changed.headers["consistency-token"], "Prefer": "wait=30"}
                base = shop.queries.url
                document = http.get(f"{base}/products/{product_id}", headers=headers)
                listed = http.get(f"{base}/products", params={"category": mine, "sort": "price"}, headers=headers)
                found = http.get(f"{base}/products", params={"search": mine}, headers=headers)
                for answer in (document, listed, found):
                    assert answer.status_code == 200, answer.text
                seen = [document.json()["price"], *(i["price"] for a in (listed, found) for i in a.json()["items"])]
                if seen != [price] * 3:
                    stale.append(f"wrote {price}, saw {seen}")
        return stale

    assert [s for stale in together(32, client) for s in stale] == []


def test_changes_of_one_stock_through_two_apis_all_happen_once(shop: System) -> None:
    product_id = shop.add_product(initial_stock=40).json()["id"]
    urls = [shop.api.url, shop.another("api").url]
    changes = 15

    def client(number: int) -> list[tuple[str, str, int]]:
        accepted = []
        with httpx.Client(base_url=urls[number % 2], timeout=60) as http:
            for n in range(changes):
                action = "shipments" if (number + n) % 2 else "additions"
                key = f"{product_id}-{number}-{n}"
                response = http.post(
                    f"/inventory/{product_id}/{action}", json={"quantity": 3}, headers={"Idempotency-Key": key}
                )
                assert response.status_code in (204, 409), response.text
                if response.status_code == 204:
                    accepted.append((key, action, 3))
        return accepted

    accepted = [change for client_changes in together(8, client) for change in client_changes]

    events = _stream(shop, f"inventory-{product_id}")[1:]
    assert sorted(e["commandid"] for e in events) == sorted(key for key, _, _ in accepted)
    assert [e["streamversion"] for e in events] == list(range(2, len(accepted) + 2))
    expected = 40 + sum(quantity if action == "additions" else -quantity for _, action, quantity in accepted)
    token = shop.command.patch(f"/products/{product_id}", json={"name": "Last"}).headers["consistency-token"]
    assert shop.read(f"/inventory/{product_id}", token).json()["current_stock"] == expected >= 0


def test_many_clients_reserve_the_last_piece_of_each_product_and_not_one_more(shop: System) -> None:
    pieces = 1000
    products = [shop.add_product(initial_stock=pieces, price="1").json()["id"] for _ in range(3)]
    urls = [shop.api.url, shop.another("api").url]
    shop.another("worker")

    def client(number: int) -> list[str]:
        """Orders one piece of one of the products, at once or queued, until it is refused everywhere."""
        accepted, sold_out, n = [], set[str](), 0
        with httpx.Client(base_url=urls[number % 2], timeout=60) as http:
            while len(sold_out) < len(products):
                n += 1
                product_id = products[(number + n) % len(products)]
                headers = {"Prefer": "respond-async, wait=30"} if (number + n) % 4 == 0 else {}
                body = {"customer_id": f"c{number}", "lines": [{"product_id": product_id, "quantity": 1}]}
                response = http.post("/orders", json=body, headers=headers)
                if response.status_code == 409:
                    assert response.json()["type"] == "/problems/insufficient-stock"
                    sold_out.add(product_id)
                else:
                    assert response.status_code == 201, (response.status_code, response.text)
                    accepted.append(response.json()["id"])
        return accepted

    accepted = [order_id for orders in together(64, client) for order_id in orders]

    assert len(accepted) == len(set(accepted)) == pieces * len(products)
    reserved = []
    for product_id in products:
        events = _stream(shop, f"inventory-{product_id}", limit=10_000)
        reservations = [event["data"]["order_id"] for event in events if event["type"] == "StockReserved"]
        assert len(reservations) == pieces
        reserved += reservations
        token = shop.command.patch(f"/products/{product_id}", json={"name": product_id}).headers["consistency-token"]
        stock = shop.read(f"/inventory/{product_id}", token).json()
        assert (stock["current_stock"], stock["reserved"], stock["available"]) == (pieces, pieces, 0)
    assert sorted(reserved) == sorted(accepted)


def _stream(shop: System, stream_id: str, limit: int = 1000) -> list[dict[str, Any]]:
    response = shop.command.get(f"/streams/{stream_id}/events", params={"limit": limit})
    return [json.loads(line) for line in response.text.splitlines()]
