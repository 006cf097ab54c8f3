"""What a shop team does with curl, from the first product to the last page."""

from typing import Any
from uuid import uuid4

import pytest

from system import System


def ids_of(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_a_product_is_readable_at_once_with_its_token(shop: System) -> None:
    added = shop.add_product(name="iPhone 15 Pro", price=999.99, sku=f"APPLE-{uuid4()}", initial_stock=7)

    read = shop.read(added.headers["location"], added.headers["consistency-token"])

    assert read.status_code == 200
    product = read.json()
    assert (product["name"], product["price"], product["available"]) == ("iPhone 15 Pro", "999.99", 7)
    assert product["version"] == 1
    assert added.headers["etag"] == '"1"'
    assert read.headers["etag"].startswith('"1-')


def test_a_users_new_rating_replaces_the_old_one(shop: System) -> None:
    path = shop.add_product().headers["location"]
    for user, rating in (("ann", 2), ("ann", 5), ("bob", 4)):
        last = shop.command.put(f"{path}/ratings/{user}", json={"rating": rating})
        assert last.status_code == 204

    product = shop.read(path, last.headers["consistency-token"]).json()

    assert (product["user_rating"], product["rating_count"]) == (4.5, 2)
    assert product["rating_histogram"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 1}
    assert shop.query.get(f"{path}/ratings/ann").json()["rating"] == 5

    gone = shop.command.delete(f"{path}/ratings/ann")
    assert shop.read(path, gone.headers["consistency-token"]).json()["rating_count"] == 1
    assert shop.query.get(f"{path}/ratings/ann").status_code == 404


def test_stock_moves_and_out_of_stock_turns(shop: System) -> None:
    added = shop.add_product()
    product_id = added.json()["id"]
    inventory = f"/inventory/{product_id}"

    def after(action: str, **body: Any) -> dict[str, Any]:
        response = shop.command.post(f"{inventory}/{action}", json=body)
        assert response.status_code == 204, response.text
        token = response.headers["consistency-token"]
        product = shop.read(f"/products/{product_id}", token).json()
        stock = shop.read(inventory, token).json()
        assert product["is_out_of_stock"] == (product["available"] == 0)
        assert stock["available"] == product["available"]
        assert response.headers["etag"] == f'"{stock["version"]}"'
        return dict(product)

    assert shop.read(f"/products/{product_id}", added.headers["consistency-token"]).json()["is_out_of_stock"]
    assert after("additions", quantity=5, reason="delivery")["available"] == 5
    assert after("recounts", counted_quantity=3)["available"] == 3
    assert after("shipments", quantity=3)["is_out_of_stock"]

    refused = shop.command.post(f"{inventory}/shipments", json={"quantity": 1})
    assert refused.status_code == 409
    assert refused.json()["lines"] == [{"product_id": product_id, "requested": 1, "available": 0}]


def test_a_stale_if_match_is_refused_and_a_right_one_is_not(shop: System) -> None:
    path = shop.add_product(price="10").headers["location"]
    read = shop.read(path, shop.command.patch(path, json={"name": "Renamed"}).headers["consistency-token"])

    stale = shop.command.post(f"{path}/price-changes", json={"price": "11"}, headers={"If-Match": '"1"'})
    right = shop.command.post(f"{path}/price-changes", json={"price": "11"}, headers={"If-Match": read.headers["etag"]})

    assert (stale.status_code, stale.json()["type"]) == (412, "/problems/version-mismatch")
    assert right.status_code == 204
    assert shop.read(path, right.headers["consistency-token"]).json()["price"] == "11.00"


def test_a_repeated_command_gives_the_same_answer_and_no_second_event(shop: System) -> None:
    headers = {"Idempotency-Key": f"order-{uuid4()}"}
    body = {"name": "Once", "price": "5"}

    first, second = (shop.command.post("/products", json=body, headers=headers) for _ in range(2))

    assert (second.status_code, second.content) == (first.status_code, first.content)
    for header in ("etag", "location", "consistency-token"):
        assert second.headers[header] == first.headers[header]
    events = shop.command.get(f"/streams/product-{first.json()['id']}/events").text.splitlines()
    assert len(events) == 1

    other = shop.command.post("/products", json={**body, "price": "6"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.parametrize("sort", ["name", "price", "-price", "-rating", "-created_at"])
def test_pages_of_every_sort_show_each_product_once(shop: System, sort: str) -> None:
    category = f"paging-{uuid4()}"
    tokens = []
    for n in range(25):
        last = shop.add_product(name=f"Product {n % 7}", price=f"{n % 5}.50", category=category)
        if n % 3 == 0:
            last = shop.command.put(f"{last.headers['location']}/ratings/ann", json={"rating": n % 5 + 1})
        tokens.append(last.headers["consistency-token"])
    assert shop.read("/products", ",".join(tokens)).status_code == 200

    items: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {"sort": sort, "limit": 4, "category": category}
    while True:
        page = shop.query.get("/products", params=parameters)
        items += page.json()["items"]
        if page.json()["next_cursor"] is None:
            break
        assert 'rel="next"' in page.headers["link"]
        parameters["cursor"] = page.json()["next_cursor"]

    assert len(items) == len({item["id"] for item in items}) == 25
    key = {
        "name": lambda i: (i["name"], i["id"]),
        "price": lambda i: (float(i["price"]), i["id"]),
        "-price": lambda i: (-float(i["price"]), i["id"]),
        "-rating": lambda i: (-(i["user_rating"] or 0), i["id"]),
        "-created_at": lambda i: i["created_at"],
    }[sort]
    assert items == sorted(items, key=key, reverse=sort == "-created_at")


def test_search_finds_by_the_beginnings_of_words(shop: System) -> None:
    category = f"search-{uuid4()}"
    tea = shop.add_product(name="Chai", category=category)
    headphones = shop.add_product(name="Sony WH-1000XM4", category=category)
    token = f"{tea.headers['consistency-token']}, {headphones.headers['consistency-token']}"

    def found(words: str) -> list[str]:
        return ids_of(shop.read("/products", token, search=words, category=category).json())

    assert found("chai") == found("CHA") == [tea.json()["id"]]
    assert found("sony wh") == found("1000xm4 so") == [headphones.json()["id"]]
    assert found("sony chai") == []


def test_a_discontinued_product_leaves_the_list_and_stays_readable(shop: System) -> None:
    sku = f"GONE-{uuid4()}"
    added = shop.add_product(name="Discontinued", sku=sku, category=sku)
    path = added.headers["location"]

    gone = shop.command.delete(path)
    token = gone.headers["consistency-token"]

    assert shop.read("/products", token, category=sku).json()["items"] == []
    assert ids_of(shop.read("/products", category=sku, include_discontinued="true").json()) == [added.json()["id"]]
    assert shop.read(path, token).json()["is_discontinued"] is True
    assert shop.query.get(f"/products/by-sku/{sku}").status_code == 200
    assert shop.command.delete(path).status_code == 204
    taken = shop.command.post("/products", json={"name": "Another", "price": "1", "sku": sku})
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/sku-taken")

    back = shop.command.post(f"{path}/relistings")
    assert ids_of(shop.read("/products", back.headers["consistency-token"], category=sku).json()) == [
        added.json()["id"]
    ]


def test_what_did_not_change_is_not_sent_again(shop: System) -> None:
    added = shop.add_product()
    read = shop.read(added.headers["location"], added.headers["consistency-token"])

    again = shop.query.get(added.headers["location"], headers={"If-None-Match": read.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_both_documents_and_their_pages_are_there(shop: System) -> None:
    for client, below in shop.documentation:
        assert client.get(f"{below}/openapi.json").json()["openapi"].startswith("3.1")
        page = client.get(f"{below}/docs")
        assert page.status_code == 200
        assert "://" not in page.text


@pytest.mark.own_system
def test_every_process_has_metrics(shop: System) -> None:
    for process in shop.processes:
        assert process.metric("process_resident_memory_bytes") > 0
