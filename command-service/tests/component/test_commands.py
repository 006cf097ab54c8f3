"""Each command over HTTP: its statuses, headers and problems, as the contract has them."""

from typing import Any

import pytest

from .support import UNKNOWN, Shop, new_uuid, pointers, problem, succeeded


async def test_a_product_is_added_with_its_location_version_and_token(shop: Shop) -> None:
    body = {
        "name": "Chai",
        "description": "Tea",
        "price": 18,
        "sku": "NW-1",
        "category": "Beverages",
        "initial_stock": 39,
    }
    response = await shop.http.post("/products", json=body)
    pid = response.json()["id"]
    [seen] = succeeded(response, 201, 1)
    assert (seen.stream_id, seen.version) == (f"inventory-{pid}", 1)
    assert response.json() == {"id": pid}
    assert response.headers["location"] == f"/products/{pid}"
    [added] = await shop.events(f"product-{pid}")
    assert added["data"] == {
        "name": "Chai", "description": "Tea", "price": "18.00", "currency": "EUR", "sku": "NW-1",
        "category": "Beverages",
    }  # fmt: skip
    [opened] = await shop.events(f"inventory-{pid}")
    assert opened["data"] == {"quantity": 39}


async def test_the_client_may_choose_the_id_once(shop: Shop) -> None:
    pid = new_uuid()
    assert await shop.add(id=pid.upper()) == pid
    again = await shop.http.post("/products", json={"id": pid, "name": "Other", "price": "1"})
    problem(again, 409, "product-exists")


async def test_a_sku_is_unique_and_a_discontinued_product_keeps_it(shop: Shop) -> None:
    pid = await shop.add(sku="A 1")
    await shop.http.delete(f"/products/{pid}")
    taken = await shop.http.post("/products", json={"name": "x", "price": "1", "sku": "A 1"})
    problem(taken, 409, "sku-taken")
    await shop.add(sku="a 1")


async def test_a_patch_changes_what_it_names_and_null_clears(shop: Shop) -> None:
    pid = await shop.add(description="Tea", category="Beverages")
    succeeded(await shop.http.patch(f"/products/{pid}", json={"name": "Masala"}), 204, 2)
    succeeded(await shop.http.patch(f"/products/{pid}", json={"description": None}), 204, 3)
    succeeded(await shop.http.patch(f"/products/{pid}", json={"category": None, "description": ""}), 204, 4)
    succeeded(await shop.http.patch(f"/products/{pid}", json={"name": "Masala", "category": None}), 204, 4)
    details = [event["data"] for event in (await shop.events(f"product-{pid}"))[1:]]
    assert details == [
        {"name": "Masala", "description": "Tea", "category": "Beverages"},
        {"name": "Masala", "description": None, "category": "Beverages"},
        {"name": "Masala", "description": "", "category": None},
    ]


@pytest.mark.parametrize(
    ("body", "place"), [({}, "#"), ({"name": None}, "#/name"), ({"price": "1"}, "#/price"), ({"id": UNKNOWN}, "#/id")]
)
async def test_a_patch_of_nothing_or_of_what_it_can_not_change_is_refused(shop: Shop, body: Any, place: str) -> None:
    pid = await shop.add()
    before = await shop.written()
    assert place in pointers(problem(await shop.http.patch(f"/products/{pid}", json=body), 422, "invalid-input"))
    assert await shop.written() == before


async def test_a_price_changes_and_the_same_price_changes_nothing(shop: Shop) -> None:
    pid = await shop.add()
    succeeded(await shop.http.post(f"/products/{pid}/price-changes", json={"price": 19.99}), 204, 2)
    [seen] = succeeded(await shop.http.post(f"/products/{pid}/price-changes", json={"price": "19.9900"}), 204, 2)
    assert (seen.stream_id, seen.version) == (f"product-{pid}", 2)
    assert (await shop.events(f"product-{pid}"))[1]["data"] == {"price": "19.99", "previous_price": "18.00"}


async def test_discontinuing_and_relisting_can_be_repeated(shop: Shop) -> None:
    pid = await shop.add()
    succeeded(await shop.http.post(f"/products/{pid}/relistings"), 204, 1)
    succeeded(await shop.http.delete(f"/products/{pid}"), 204, 2)
    succeeded(await shop.http.delete(f"/products/{pid}"), 204, 2)
    succeeded(await shop.http.post(f"/products/{pid}/price-changes", json={"price": "1"}), 204, 3)
    succeeded(await shop.http.post(f"/products/{pid}/relistings", json={}), 204, 4)
    succeeded(await shop.http.post(f"/products/{pid}/relistings"), 204, 4)


async def test_a_rating_replaces_the_same_users_and_has_a_version_of_its_own(shop: Shop) -> None:
    pid = await shop.add()
    path = f"/products/{pid}/ratings/"
    [seen] = succeeded(await shop.http.put(f"{path}ann", json={"rating": 4}), 204, 1)
    assert seen.stream_id == f"rating-{pid}-ann"
    succeeded(await shop.http.put(f"{path}ann", json={"rating": 5}), 204, 2)
    succeeded(await shop.http.put(f"{path}ann", json={"rating": 5}), 204, 2)
    succeeded(await shop.http.put(f"{path}bob%40x", json={"rating": 1}), 204, 1)
    succeeded(await shop.http.delete(f"{path}ann"), 204, 3)
    succeeded(await shop.http.delete(f"{path}ann"), 204, 3)
    succeeded(await shop.http.delete(f"{path}nobody"), 204, 0)
    assert [event["data"] for event in await shop.events(f"rating-{pid}-ann")] == [
        {"user_id": "ann", "rating": 4, "replaces": None},
        {"user_id": "ann", "rating": 5, "replaces": 4},
        {"user_id": "ann", "rating": 5},
    ]
    assert len(await shop.events(f"rating-{pid}-bob@x")) == 1


async def test_stock_comes_in_is_counted_and_goes_out(shop: Shop) -> None:
    pid = await shop.add(initial_stock=5)
    path = f"/inventory/{pid}/"
    [seen] = succeeded(await shop.http.post(f"{path}additions", json={"quantity": 3, "reason": "delivery"}), 204, 2)
    assert (seen.stream_id, seen.version) == (f"inventory-{pid}", 2)
    succeeded(await shop.http.post(f"{path}recounts", json={"counted_quantity": 7}), 204, 3)
    succeeded(await shop.http.post(f"{path}recounts", json={"counted_quantity": 7, "reason": None}), 204, 4)
    succeeded(await shop.http.post(f"{path}shipments", json={"quantity": 7}), 204, 5)
    refused = problem(await shop.http.post(f"{path}shipments", json={"quantity": 1}), 409, "insufficient-stock")
    assert refused["lines"] == [{"product_id": pid, "requested": 1, "available": 0}]


COMMANDS: list[tuple[str, str, Any]] = [
    ("PATCH", "/products/{}", {"name": "x"}),
    ("POST", "/products/{}/price-changes", {"price": "1"}),
    ("DELETE", "/products/{}", None),
    ("POST", "/products/{}/relistings", None),
    ("PUT", "/products/{}/ratings/ann", {"rating": 3}),
    ("DELETE", "/products/{}/ratings/ann", None),
    ("POST", "/inventory/{}/additions", {"quantity": 1}),
    ("POST", "/inventory/{}/recounts", {"counted_quantity": 1}),
    ("POST", "/inventory/{}/shipments", {"quantity": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
async def test_what_was_never_added_is_404_even_when_a_version_is_expected(
    shop: Shop, method: str, path: str, body: Any
) -> None:
    for headers in ({}, {"If-Match": '"1"'}, {"If-Match": "*"}):
        response = await shop.http.request(method, path.format(UNKNOWN), json=body, headers=headers)
        problem(response, 404, "product-not-found")


@pytest.mark.parametrize(("method", "path", "body"), COMMANDS)
async def test_a_stale_version_is_412_and_the_right_one_succeeds(shop: Shop, method: str, path: str, body: Any) -> None:
    pid = await shop.add(initial_stock=5)
    url = path.format(pid)
    if "ratings" in path:
        await shop.http.put(f"/products/{pid}/ratings/ann", json={"rating": 1})
    before = len(await shop.sql.fetch("SELECT 1 FROM events"))
    for stale in ('"7"', 'W/"1"', '"7", "8-0123456789abcdef"'):
        problem(await shop.http.request(method, url, json=body, headers={"If-Match": stale}), 412, "version-mismatch")
    assert len(await shop.sql.fetch("SELECT 1 FROM events")) == before
    right = await shop.http.request(method, url, json=body, headers={"If-Match": '"1-0123456789abcdef"'})
    assert right.status_code == 204
    exists = await shop.http.request(method, url, json=body, headers={"If-Match": "*"})
    assert exists.status_code == (412 if method == "DELETE" and "ratings" in path else 204)


@pytest.mark.parametrize(("method", "path", "body"), [*COMMANDS, ("POST", "/products", {"name": "x", "price": "1"})])
async def test_the_same_key_gives_the_same_answer_and_nothing_twice(
    shop: Shop, method: str, path: str, body: Any
) -> None:
    url = path.format(await shop.add(initial_stock=5))
    headers = {"Idempotency-Key": "key-1"}
    first = await shop.http.request(method, url, json=body, headers=headers)
    written = await shop.written()
    again = await shop.http.request(method, url, json=body, headers=headers)
    assert (again.status_code, again.content, dict(again.headers)) == (
        first.status_code,
        first.content,
        dict(first.headers),
    )
    assert await shop.written() == written
    other = await shop.http.post("/products", json={"name": "another", "price": "1"}, headers=headers)
    problem(other, 422, "idempotency-key-reused")
    assert await shop.written() == written


async def test_a_rejection_is_answered_again_in_the_very_same_bytes(shop: Shop) -> None:
    pid = await shop.add()
    headers = {"Idempotency-Key": "key-1"}
    first = await shop.http.post(f"/inventory/{pid}/shipments", json={"quantity": 3}, headers=headers)
    await shop.http.post(f"/inventory/{pid}/additions", json={"quantity": 10})
    again = await shop.http.post(f"/inventory/{pid}/shipments", json={"quantity": 3}, headers=headers)
    problem(again, 409, "insufficient-stock")
    assert again.content == first.content


async def test_the_key_is_judged_before_existence_version_and_rules_and_after_the_input(shop: Shop) -> None:
    pid = await shop.add()
    headers = {"Idempotency-Key": "used", "If-Match": '"9"'}
    await shop.http.post("/products", json={"name": "x", "price": "1"}, headers={"Idempotency-Key": "used"})
    ship = {"quantity": 9}
    problem(
        await shop.http.post(f"/inventory/{UNKNOWN}/shipments", json=ship, headers=headers),
        422,
        "idempotency-key-reused",
    )
    problem(
        await shop.http.post(f"/inventory/{pid}/shipments", json=ship, headers=headers), 422, "idempotency-key-reused"
    )
    problem(await shop.http.post(f"/inventory/{pid}/shipments", json={}, headers=headers), 422, "invalid-input")
    problem(await shop.http.post(f"/inventory/{pid}/shipments", content=b"{", headers=headers), 400, "not-json")
    headers["Idempotency-Key"] = "new"
    problem(await shop.http.post(f"/inventory/{pid}/shipments", json=ship, headers=headers), 412, "version-mismatch")


async def test_input_that_was_refused_does_not_use_its_key_up(shop: Shop) -> None:
    headers = {"Idempotency-Key": "key-1"}
    problem(await shop.http.post("/products", json={"name": "x"}, headers=headers), 422, "invalid-input")
    problem(await shop.http.post("/products", content=b"[" * 300_000, headers=headers), 413, "body-too-large")
    response = await shop.http.post("/products", json={"name": "x", "price": "1"}, headers=headers)
    assert response.status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 129, "tab\there"])
async def test_a_key_is_1_to_128_visible_ascii_characters(shop: Shop, key: str) -> None:
    before = await shop.written()
    response = await shop.http.post(
        "/products", json={"name": "x", "price": "1"}, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    assert pointers(problem(response, 400, "bad-request")) == ["Idempotency-Key"]
    assert await shop.written() == before
    longest = {"Idempotency-Key": "~" * 128}
    assert (await shop.http.post("/products", json={"name": "x", "price": "1"}, headers=longest)).status_code == 201


async def test_where_something_is_created_no_version_can_be_expected(shop: Shop) -> None:
    for header in ('"1"', "*"):
        response = await shop.http.post("/products", json={"name": "x", "price": "1"}, headers={"If-Match": header})
        assert pointers(problem(response, 400, "bad-request")) == ["If-Match"]


async def test_an_event_says_which_command_of_which_request_caused_it(shop: Shop) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"Idempotency-Key": "key-1", "X-Correlation-ID": "request-7", "Traceparent": trace}
    pid = (await shop.http.post("/products", json={"name": "x", "price": "1"}, headers=headers)).json()["id"]
    [event] = await shop.events(f"product-{pid}")
    assert (event["command"], event["commandid"], event["correlationid"]) == ("AddNewProduct", "key-1", "request-7")
    assert event["traceparent"] == trace
    assert event["id"] == f"product-{pid}@1"
