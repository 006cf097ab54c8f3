"""The orders' routes: statuses, headers, problems and bad input, as the contract has them."""

import json
from typing import Any

import httpx

from .support import UNKNOWN, Shop, new_uuid, pointers, problem, succeeded

LINE = {"product_id": UNKNOWN, "quantity": 1}
GOOD = {"customer_id": "ann", "lines": [LINE]}
ORDER = f"/orders/{UNKNOWN}"


async def place(shop: Shop, *pieces: tuple[str, int], **data: Any) -> httpx.Response:
    lines = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in pieces]
    return await shop.http.post("/orders", json={"customer_id": "ann", "lines": lines, **data})


async def post(shop: Shop, path: str, **body: Any) -> httpx.Response:
    return await shop.http.post(path, json=body)


async def test_an_order_lives_from_its_placing_to_its_return(shop: Shop) -> None:
    tea, cup = await shop.add(initial_stock=9), await shop.add(price="4.50", initial_stock=9)
    placed = await place(shop, (tea, 2), (cup, 1))
    seen = succeeded(placed, 201, 1)
    path = placed.headers["location"]
    assert placed.json() == {"id": path.removeprefix("/orders/")}
    assert {one.stream_id for one in seen} <= {f"order-{path[8:]}", f"inventory-{tea}", f"inventory-{cup}"}
    succeeded(await post(shop, f"{path}/payments", amount=40.5, reference="card"), 204, 2)
    succeeded(await post(shop, f"{path}/payments", amount="40.50", reference="card"), 204, 2)
    succeeded(await post(shop, f"{path}/shipments", lines=[{"product_id": tea, "quantity": 1}]), 204, 3)
    succeeded(await post(shop, f"{path}/shipments"), 204, 4)
    succeeded(await post(shop, f"{path}/returns", lines=[{"product_id": tea, "quantity": 2}]), 204, 5)
    problem(await post(shop, f"{path}/cancellation"), 409, "order-not-cancellable")
    assert [event["type"] for event in await shop.events(f"order-{path[8:]}")] == [
        "OrderPlaced",
        "OrderPaid",
        "OrderItemsShipped",
        "OrderItemsShipped",
        "OrderItemsReturned",
    ]


async def test_the_client_may_choose_an_orders_id_once(shop: Shop) -> None:
    tea, order_id = await shop.add(initial_stock=9), new_uuid()
    placed = await place(shop, (tea, 1), id=order_id.upper())
    assert placed.headers["location"] == f"/orders/{order_id}"
    problem(await place(shop, (tea, 2), id=order_id), 409, "order-exists")


async def test_the_same_key_places_one_order(shop: Shop) -> None:
    tea = await shop.add(initial_stock=9)
    body = {"customer_id": "ann", "lines": [{"product_id": tea, "quantity": 1}]}
    first, again = [await shop.http.post("/orders", json=body, headers={"Idempotency-Key": "key"}) for _ in range(2)]
    assert (first.status_code, first.json(), first.headers["location"]) == (
        201,
        again.json(),
        again.headers["location"],
    )
    assert first.headers["consistency-token"] == again.headers["consistency-token"]
    body["lines"] = [{"product_id": tea, "quantity": 2}]
    other = await shop.http.post("/orders", json=body, headers={"Idempotency-Key": "key"})
    problem(other, 422, "idempotency-key-reused")


async def test_each_refusal_is_its_problem_with_what_it_is_about(shop: Shop) -> None:
    tea, gone = await shop.add(initial_stock=1), await shop.add(initial_stock=1)
    await shop.http.delete(f"/products/{gone}")
    problem(await place(shop, (tea, 1), (UNKNOWN, 1)), 404, "product-not-found")
    short = problem(await place(shop, (tea, 2)), 409, "insufficient-stock")
    assert short["lines"] == [{"product_id": tea, "requested": 2, "available": 1}]
    assert problem(await place(shop, (gone, 1)), 409, "product-discontinued")["product_ids"] == [gone]
    dearer = {"product_id": tea, "quantity": 1, "expected_price": 17}
    changed = problem(await post(shop, "/orders", customer_id="a", lines=[dearer]), 409, "price-changed")
    assert changed["lines"] == [{"product_id": tea, "expected_price": "17.00", "price": "18.00"}]
    path = (await place(shop, (tea, 1))).headers["location"]
    lines = [{"product_id": tea, "quantity": 1}]
    problem(await post(shop, f"{path}/payments", amount="1", reference="x"), 409, "amount-mismatch")
    problem(await post(shop, f"{path}/shipments"), 409, "order-not-shippable")
    problem(await post(shop, f"{path}/returns", lines=lines), 409, "order-not-returnable")
    succeeded(await post(shop, f"{path}/cancellation", reason="x"), 204, 2)
    succeeded(await post(shop, f"{path}/cancellation", reason="y"), 204, 2)
    problem(await post(shop, f"{path}/payments", amount="18", reference="x"), 409, "order-not-payable")


async def test_an_unknown_order_is_404_whatever_version_is_expected(shop: Shop) -> None:
    bodies: dict[str, Any] = {
        "payments": {"amount": "1", "reference": "x"},
        "shipments": {},
        "cancellation": {},
        "returns": {"lines": [LINE]},
    }
    for what, body in bodies.items():
        for headers in ({}, {"If-Match": '"7"'}, {"If-Match": "*"}):
            problem(await shop.http.post(f"{ORDER}/{what}", json=body, headers=headers), 404, "order-not-found")


async def test_if_match_is_about_the_order(shop: Shop) -> None:
    tea = await shop.add(initial_stock=9)
    path = (await place(shop, (tea, 1))).headers["location"]
    body = {"amount": "18", "reference": "card"}
    stale = {"If-Match": '"2"'}
    problem(await shop.http.post(f"{path}/payments", json=body, headers=stale), 412, "version-mismatch")
    succeeded(await shop.http.post(f"{path}/payments", json=body, headers={"If-Match": '"1"'}), 204, 2)
    # Stale comes before what the rules say.
    late = await shop.http.post(f"{path}/returns", json={"lines": [LINE]}, headers={"If-Match": '"1"'})
    problem(late, 412, "version-mismatch")
    problem(await shop.http.post("/orders", json=GOOD, headers={"If-Match": "*"}), 400, "bad-request")


async def test_an_optional_body_may_be_left_out_or_empty(shop: Shop) -> None:
    tea = await shop.add(initial_stock=9)
    for what in ("cancellation", "shipments"):
        for content in (b"", b"null", b"{}"):
            path = (await place(shop, (tea, 1))).headers["location"]
            await post(shop, f"{path}/payments", amount="18", reference="card")
            succeeded(await shop.http.post(f"{path}/{what}", content=content), 204, 3)


async def test_a_body_that_is_no_object_is_refused(shop: Shop) -> None:
    for what in ("cancellation", "shipments", "payments", "returns"):
        for content in (b"[]", b'""', b"0", b"false"):
            response = await shop.http.post(f"{ORDER}/{what}", content=content)
            assert pointers(problem(response, 422, "invalid-input")) == ["#"]
    assert await shop.written() == (0, 0, 0, 0, 0)


def line(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "lines": [LINE, {**LINE, **changes}]}


BROKEN: list[tuple[str, Any, str]] = [
    ("/orders", {}, "#/customer_id"),
    ("/orders", {"customer_id": "a"}, "#/lines"),
    ("/orders", {**GOOD, "lines": []}, "#/lines"),
    ("/orders", {**GOOD, "lines": [LINE] * 1001}, "#/lines"),
    ("/orders", {**GOOD, "lines": None}, "#/lines"),
    ("/orders", {**GOOD, "lines": {"0": LINE}}, "#/lines"),
    ("/orders", {**GOOD, "lines": [LINE, 5]}, "#/lines/1"),
    ("/orders", {**GOOD, "lines": [LINE, [LINE]]}, "#/lines/1"),
    ("/orders", line(quantity=0), "#/lines/1/quantity"),
    ("/orders", line(quantity=-1), "#/lines/1/quantity"),
    ("/orders", line(quantity=1.5), "#/lines/1/quantity"),
    ("/orders", line(quantity="1"), "#/lines/1/quantity"),
    ("/orders", line(quantity=True), "#/lines/1/quantity"),
    ("/orders", line(quantity=10**9 + 1), "#/lines/1/quantity"),
    ("/orders", line(quantity=None), "#/lines/1/quantity"),
    ("/orders", line(product_id="1"), "#/lines/1/product_id"),
    ("/orders", line(product_id=UNKNOWN.replace("-", "")), "#/lines/1/product_id"),
    ("/orders", line(expected_price="1,5"), "#/lines/1/expected_price"),
    ("/orders", line(expected_price="1.00001"), "#/lines/1/expected_price"),
    ("/orders", line(expected_price=1e11), "#/lines/1/expected_price"),
    ("/orders", line(unit_price="1"), "#/lines/1/unit_price"),
    ("/orders", line(name="Chai"), "#/lines/1/name"),
    ("/orders", {**GOOD, "customer_id": ""}, "#/customer_id"),
    ("/orders", {**GOOD, "customer_id": "a b"}, "#/customer_id"),
    ("/orders", {**GOOD, "customer_id": "a/b"}, "#/customer_id"),
    ("/orders", {**GOOD, "customer_id": "x" * 65}, "#/customer_id"),
    ("/orders", {**GOOD, "customer_id": 5}, "#/customer_id"),
    ("/orders", {**GOOD, "id": "1"}, "#/id"),
    ("/orders", {**GOOD, "order_id": UNKNOWN}, "#/order_id"),
    ("/orders", {**GOOD, "total": "1"}, "#/total"),
    ("/orders", {**GOOD, "effective_at": "2011-03-01T12:00:00Z"}, "#/effective_at"),
    ("/orders", [GOOD], "#"),
    (f"{ORDER}/payments", {"amount": "1"}, "#/reference"),
    (f"{ORDER}/payments", {"amount": "1", "reference": " "}, "#/reference"),
    (f"{ORDER}/payments", {"amount": "1", "reference": "x" * 201}, "#/reference"),
    (f"{ORDER}/payments", {"amount": "1", "reference": "a\nb"}, "#/reference"),
    (f"{ORDER}/payments", {"amount": "-1", "reference": "x"}, "#/amount"),
    (f"{ORDER}/payments", {"amount": True, "reference": "x"}, "#/amount"),
    (f"{ORDER}/payments", {"amount": "1", "reference": "x", "order_id": UNKNOWN}, "#/order_id"),
    (f"{ORDER}/shipments", {"lines": []}, "#/lines"),
    (f"{ORDER}/shipments", {"lines": [LINE] * 1001}, "#/lines"),
    (f"{ORDER}/shipments", {"lines": [LINE, {**LINE, "line": 0}]}, "#/lines/1/line"),
    (f"{ORDER}/shipments", {"reason": "x"}, "#/reason"),
    (f"{ORDER}/cancellation", {"reason": "x" * 501}, "#/reason"),
    (f"{ORDER}/cancellation", {"reason": "a\x00b"}, "#/reason"),
    (f"{ORDER}/cancellation", {"reason": 5}, "#/reason"),
    (f"{ORDER}/cancellation", {"lines": [LINE]}, "#/lines"),
    (f"{ORDER}/returns", {}, "#/lines"),
    (f"{ORDER}/returns", {"lines": None}, "#/lines"),
    (f"{ORDER}/returns", {"lines": [LINE], "restock": "yes"}, "#/restock"),
    (f"{ORDER}/returns", {"lines": [LINE], "restock": 1}, "#/restock"),
    (f"{ORDER}/returns", {"lines": [LINE], "restock": None}, "#/restock"),
]


async def test_what_breaks_the_schema_is_422_at_its_place(shop: Shop) -> None:
    for path, body, place in BROKEN:
        response = await shop.http.post(path, json=body)
        assert (pointers(problem(response, 422, "invalid-input"))[0], body) == (place, body)
    assert await shop.written() == (0, 0, 0, 0, 0)


def raw(field: str, value: str) -> bytes:
    whole = json.dumps({**GOOD, "lines": [LINE, {**LINE, field: "HERE"}]})
    return whole.replace('"HERE"', value).encode()


UNREADABLE: list[tuple[bytes, int, str, str | None]] = [
    (raw("quantity", "NaN"), 400, "not-json", "#/lines/1/quantity"),
    (raw("quantity", "-Infinity"), 400, "not-json", "#/lines/1/quantity"),
    (raw("quantity", '1, "quantity": 1'), 400, "not-json", "#/lines/1/quantity"),
    (raw("quantity", "[" * 5000 + "]" * 5000), 400, "not-json", "#"),
    (raw("quantity", "1e400"), 422, "invalid-input", "#/lines/1/quantity"),
    (raw("quantity", "9" * 5000), 422, "invalid-input", "#/lines/1/quantity"),
    (raw("expected_price", "1e-5"), 422, "invalid-input", "#/lines/1/expected_price"),
    (raw("expected_price", '"\\ud800"'), 422, "invalid-input", "#/lines/1/expected_price"),
    (raw("quantity", "1" + " " * 300_000), 413, "body-too-large", None),
    (b"", 422, "invalid-input", "#"),
]


async def test_what_can_not_be_read_is_refused(shop: Shop) -> None:
    for content, status, slug, place in UNREADABLE:
        document = problem(await shop.http.post("/orders", content=content), status, slug)
        assert place is None or (pointers(document), content[-50:]) == ([place], content[-50:])
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_a_number_never_goes_through_a_float(shop: Shop) -> None:
    tea = await shop.add(price="0.3", initial_stock=10**6)
    body = f'{{"customer_id": "a", "lines": [{{"product_id": "{tea}", "quantity": 1e1, "expected_price": 0.30000}}]}}'
    response = await shop.http.post("/orders", content=body)
    succeeded(response, 201, 1)
    [placed] = await shop.events(f"order-{response.json()['id']}")
    assert (placed["data"]["total"], placed["data"]["lines"][0]["quantity"]) == ("3.00", 10)
    nearly = '{"amount": 3.0000000000000000001, "reference": "x"}'
    refused = await shop.http.post(f"{response.headers['location']}/payments", content=nearly)
    assert pointers(problem(refused, 422, "invalid-input")) == ["#/amount"]


async def test_an_order_of_a_thousand_lines_is_placed_and_its_token_stays_small(shop: Shop) -> None:
    tea = await shop.add(price="0.01", initial_stock=1000)
    response = await place(shop, *[(tea, 1)] * 1000)
    succeeded(response, 201, 1)


async def test_what_is_no_route_of_an_order(shop: Shop) -> None:
    for method, path, status in (
        ("GET", "/orders", 405),
        ("GET", ORDER, 404),
        ("POST", ORDER, 404),
        ("DELETE", f"{ORDER}/cancellation", 405),
        ("POST", f"{ORDER}/expiry", 404),
        ("POST", "/orders/1/payments", 422),
    ):
        response = await shop.http.request(method, path, json={"amount": "1", "reference": "x"})
        assert (response.status_code, path) == (status, path)
