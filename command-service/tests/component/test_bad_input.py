"""Bad input of every kind is a 4xx problem that names the field, and writes nothing."""

import json
from typing import Any

import pytest

from .support import UNKNOWN, Shop, pointers, problem

GOOD = {"name": "x", "price": "1"}


def with_raw(field: str, raw: str) -> bytes:
    return json.dumps(GOOD)[:-1].encode() + f', "{field}": {raw}}}'.encode()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"price": "1"}, "#/name"),
        ({"name": "x"}, "#/price"),
        (GOOD | {"price": "-1"}, "#/price"),
        (GOOD | {"price": True}, "#/price"),
        (GOOD | {"price": 1e30}, "#/price"),
        (GOOD | {"name": "x" * 10_000}, "#/name"),
        (GOOD | {"name": "a\x00b"}, "#/name"),
        (GOOD | {"name": 5}, "#/name"),
        (GOOD | {"description": ["x"]}, "#/description"),
        (GOOD | {"sku": "a/b"}, "#/sku"),
        (GOOD | {"sku": ""}, "#/sku"),
        (GOOD | {"category": " "}, "#/category"),
        (GOOD | {"initial_stock": -1}, "#/initial_stock"),
        (GOOD | {"initial_stock": 1.5}, "#/initial_stock"),
        (GOOD | {"initial_stock": None}, "#/initial_stock"),
        (GOOD | {"id": "no uuid"}, "#/id"),
        (GOOD | {"colour": "red"}, "#/colour"),
        (GOOD | {"currency": "EUR"}, "#/currency"),
        (GOOD | {"product_id": UNKNOWN}, "#/product_id"),
        ([GOOD], "#"),
        ("x", "#"),
        (5, "#"),
    ],
    ids=lambda value: str(value)[-30:],
)
async def test_what_breaks_the_schema_is_422_at_its_place(shop: Shop, body: Any, place: str) -> None:
    response = await shop.http.post("/products", json=body)
    assert pointers(problem(response, 422, "invalid-input")) == [place]
    assert await shop.written() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("content", "status", "slug", "place"),
    [
        (b"{", 400, "not-json", "#"),
        (b"\xff", 400, "not-json", "#"),
        (b"\xef\xbb\xbf{}", 400, "not-json", "#"),
        (b'{"name": NaN}', 400, "not-json", "#/name"),
        (b'{"name": "x", "name": "x"}', 400, "not-json", "#/name"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "not-json", "#"),
        (b"[" * 100_000, 400, "not-json", "#"),
        (with_raw("description", '"\\ud800"'), 422, "invalid-input", "#/description"),
        (with_raw("description", '"\\u0000"'), 422, "invalid-input", "#/description"),
        (with_raw("initial_stock", "9" * 5000), 422, "invalid-input", "#/initial_stock"),
        (with_raw("initial_stock", "1e999999999999999999999"), 422, "invalid-input", "#/initial_stock"),
        (b"", 422, "invalid-input", "#"),
        (b"null", 422, "invalid-input", "#"),
        (b'{"name": ' + b" " * 300_000 + b'"x"}', 413, "body-too-large", None),
        (b"x" * 10 * 1024 * 1024, 413, "body-too-large", None),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_can_not_be_read_is_refused_and_writes_nothing(
    shop: Shop, content: bytes, status: int, slug: str, place: str | None
) -> None:
    response = await shop.http.post("/products", content=content)
    document = problem(response, status, slug)
    assert place is None or pointers(document) == [place]
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_a_body_that_is_no_json_by_its_type_is_415(shop: Shop) -> None:
    headers = {"content-type": "text/plain"}
    problem(await shop.http.post("/products", content=b"{}", headers=headers), 415, "unsupported-media-type")
    problem(await shop.http.patch(f"/products/{UNKNOWN}", data={"name": "x"}), 415, "unsupported-media-type")
    assert await shop.written() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        ("PATCH", "/products/1", "id"),
        ("DELETE", "/products/%00", "id"),
        ("POST", "/products/0190a5f07c3e7b1a9d2e3f4a5b6c7d8e/relistings", "id"),
        ("POST", f"/inventory/{UNKNOWN}%0A/additions", "product_id"),
        ("PUT", f"/products/{UNKNOWN}/ratings/%20", "user_id"),
        ("PUT", f"/products/{UNKNOWN}/ratings/a%2Fb", "user_id"),
        ("PUT", f"/products/{UNKNOWN}/ratings/{'x' * 65}", "user_id"),
        ("DELETE", f"/products/{UNKNOWN}/ratings/%C3%A9", "user_id"),
        ("DELETE", f"/products/{UNKNOWN}/ratings/%FF", "user_id"),
    ],
)
async def test_a_path_that_breaks_the_schema_is_422_and_names_its_parameter(
    shop: Shop, method: str, path: str, parameter: str
) -> None:
    response = await shop.http.request(method, path, json={})
    assert parameter in pointers(problem(response, 422, "invalid-input"))


async def test_what_the_path_says_can_not_be_said_again_in_the_body(shop: Shop) -> None:
    pid = await shop.add()
    for path, body in (
        (f"/products/{pid}/price-changes", {"price": "1", "product_id": pid}),
        (f"/inventory/{pid}/additions", {"quantity": 1, "product_id": pid}),
        (f"/products/{pid}/relistings", {"product_id": pid}),
    ):
        response = await shop.http.post(path, json=body)
        assert pointers(problem(response, 422, "invalid-input")) == ["#/product_id"]


async def test_a_command_without_a_body_takes_none_with_anything_in_it(shop: Shop) -> None:
    pid = await shop.add()
    before = await shop.written()
    for method, path in (("DELETE", f"/products/{pid}"), ("POST", f"/products/{pid}/relistings")):
        problem(await shop.http.request(method, path, json={"reason": "x"}), 422, "invalid-input")
        problem(await shop.http.request(method, path, json=[1]), 422, "invalid-input")
    assert await shop.written() == before


@pytest.mark.parametrize("stars", [0, 6, "5", 4.5, None, True])
async def test_a_rating_is_1_to_5(shop: Shop, stars: Any) -> None:
    pid = await shop.add()
    response = await shop.http.put(f"/products/{pid}/ratings/ann", json={"rating": stars})
    assert pointers(problem(response, 422, "invalid-input")) == ["#/rating"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("POST", "/products/", 404),
        ("POST", f"/products/{UNKNOWN}/price_changes", 404),
        ("GET", "/products", 405),
        ("PUT", f"/products/{UNKNOWN}", 405),
        ("GET", f"/inventory/{UNKNOWN}/additions", 405),
        ("POST", "/events", 405),
        ("DELETE", f"/streams/product-{UNKNOWN}/events", 405),
        ("POST", "/openapi.json", 405),
        ("DELETE", "/health/ready", 405),
    ],
)
async def test_an_unknown_route_or_method_is_a_problem_with_what_is_allowed(
    shop: Shop, method: str, path: str, status: int
) -> None:
    response = await shop.http.request(method, path)
    problem(response, status, "not-found" if status == 404 else "method-not-allowed")
    assert bool(response.headers.get("allow")) == (status == 405)


async def test_no_refusal_says_anything_of_what_is_behind_it(shop: Shop) -> None:
    for path in ("/products", "/nothing", f"/streams/product-{UNKNOWN}/events", "/events?after=x"):
        text = (await shop.http.get(path)).text.lower()
        assert not any(word in text for word in ("traceback", "select ", "127.0.0.1", "asyncpg", "pydantic"))


@pytest.mark.parametrize("header", ["", "3", '"3', '"3" "4"'])
async def test_an_if_match_that_can_not_be_read_is_400(shop: Shop, header: str) -> None:
    pid = await shop.add()
    response = await shop.http.delete(f"/products/{pid}", headers={"If-Match": header})
    assert pointers(problem(response, 400, "bad-request")) == ["If-Match"]
