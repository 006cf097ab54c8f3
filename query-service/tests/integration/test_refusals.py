"""Bad input: a problem document that names the parameter, whatever is sent."""

import random

import pytest

ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("url", "parameter"),
    [
        ("/products?limit=0", "limit"),
        ("/products?limit=101", "limit"),
        ("/products?limit=-1", "limit"),
        ("/products?limit=1.0", "limit"),
        ("/products?limit=%D9%A1", "limit"),
        ("/products?limit=", "limit"),
        ("/products?limit=5&limit=6", "limit"),
        ("/products?colour=red", "colour"),
        ("/products?sort=Name", "sort"),
        ("/products?sort=", "sort"),
        ("/products?min_price=-1", "min_price"),
        ("/products?min_price=NaN", "min_price"),
        ("/products?min_price=1e3", "min_price"),
        ("/products?max_price=100000000000", "max_price"),
        ("/products?max_price=1.00001", "max_price"),
        ("/products?in_stock=yes", "in_stock"),
        ("/products?min_rating=5.1", "min_rating"),
        ("/products?min_rating=NaN", "min_rating"),
        ("/products?include_discontinued=1", "include_discontinued"),
        ("/products?search=", "search"),
        ("/products?search=%20%21", "search"),
        ("/products?search=%00a", "search"),
        ("/products?search=" + "a" * 201, "search"),
        ("/products?search=" + "+".join("abcdefghijk"), "search"),
        ("/products?category=a%00b", "category"),
        ("/products?category=%FF", "query"),
        ("/products?category=%ED%A0%80", "query"),
        ("/products?cursor=", "cursor"),
        ("/products?cursor=abc", "cursor"),
        ("/products?cursor=%C3%BC", "cursor"),
        ("/products?ids=", "ids"),
        ("/products?ids=1", "ids"),
        (f"/products?ids={ID},", "ids"),
        ("/products?ids=" + ",".join([ID] * 101), "ids"),
        (f"/products?ids={ID}&sort=name", "sort"),
        (f"/products?ids={ID}&search=a&limit=2", "limit"),
        (f"/products/{ID}?x=1", "x"),
        ("/products/17", "id"),
        (f"/products/{ID}/ratings/a%20b", "user_id"),
        (f"/products/{ID}/ratings/" + "a" * 65, "user_id"),
        (f"/products/{ID}/ratings/a%2Fb", "user_id"),
        ("/products/by-sku/a%00", "sku"),
        ("/products/by-sku/%C3%BC", "sku"),
        ("/products/by-sku/" + "a" * 65, "sku"),
        ("/inventory?max_available=-1", "max_available"),
        ("/inventory?max_available=1.5", "max_available"),
        ("/inventory?out_of_stock=", "out_of_stock"),
        ("/inventory?sort=name", "sort"),
        ("/inventory?cursor=AAAA", "cursor"),
        ("/inventory/x", "product_id"),
        ("/categories?limit=1", "limit"),
        ("/orders?customer_id=", "customer_id"),
        ("/orders?customer_id=a%20b", "customer_id"),
        ("/orders?customer_id=a%2Fb", "customer_id"),
        ("/orders?customer_id=a%0A", "customer_id"),
        ("/orders?customer_id=%C3%BC", "customer_id"),
        ("/orders?customer_id=" + "a" * 65, "customer_id"),
        ("/orders?status=", "status"),
        ("/orders?status=Placed", "status"),
        ("/orders?status=placed&status=paid", "status"),
        ("/orders?limit=101", "limit"),
        ("/orders?cursor=AAAA", "cursor"),
        ("/orders?customer=a", "customer"),
        ("/orders/17", "id"),
        (f"/orders/{ID}?x=1", "x"),
        ("/orders/17/history", "id"),
        (f"/orders/{ID}/history?limit=0", "limit"),
        (f"/orders/{ID}/history?cursor=AAAA", "cursor"),
        ("/products/17/history", "id"),
        (f"/products/{ID}/history?limit=101", "limit"),
        (f"/products/{ID}/history?after=1", "after"),
        (f"/products/{ID}/history?cursor=", "cursor"),
        ("/products/17/related", "id"),
        (f"/products/{ID}/related?limit=0", "limit"),
        (f"/products/{ID}/related?limit=101", "limit"),
        (f"/products/{ID}/related?cursor=AAAA", "cursor"),
        ("/alerts?product_id=17", "product_id"),
        ("/alerts?product_id=", "product_id"),
        ("/alerts?limit=x", "limit"),
        ("/alerts?cursor=AAAA", "cursor"),
        ("/sales/daily?from=2026-02-29", "from"),
        ("/sales/daily?from=0000-01-01", "from"),
        ("/sales/daily?from=20260101", "from"),
        ("/sales/daily?from=2026-W01-1", "from"),
        ("/sales/daily?from=2026-1-1", "from"),
        ("/sales/daily?from=2026-01-01T00:00:00Z", "from"),
        ("/sales/daily?from=", "from"),
        ("/sales/daily?to=2026-13-01", "to"),
        ("/sales/daily?to=", "to"),
        ("/sales/daily?from=2026-01-02&to=2026-01-01", "from"),
        ("/sales/daily?from=2025-01-01&to=2026-01-02", "from"),
        ("/sales/daily?from=0001-01-01&to=9999-12-31", "from"),
        ("/sales/daily?from=9999-12-31", "from"),
        ("/sales/daily?first=2026-01-01", "first"),
        ("/sales/daily?limit=1", "limit"),
    ],
)
async def test_what_does_not_fit_is_422_and_named(client, shop, url, parameter):
    answer = await client.get(url)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/invalid-input"
    assert answer.json()["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize("token", ["", ",", "abc", "a b", "AQg", "é", "A" * 5000, "=" * 8])
async def test_a_token_that_cannot_be_read_is_400(client, shop, token):
    for url in (f"/products/{ID}", "/products", "/categories", "/orders", "/alerts", "/sales/daily"):
        answer = await client.get(url, headers={"Consistency-Token": token.encode()})
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-token")


async def test_one_bad_token_among_good_ones_is_400(client, shop):
    answer = await client.get("/products", headers={"Consistency-Token": f"{shop.token(ID, 1)}, nonsense"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "url"),
    [("POST", "/products"), ("DELETE", f"/products/{ID}"), ("PUT", "/categories"), ("POST", "/orders")],
)
async def test_queries_take_no_other_method(client, shop, method, url):
    answer = await client.request(method, url)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["type"] == "/problems/method-not-allowed"


async def test_unknown_addresses_are_404_problems(client, shop):
    for url in (
        "/",
        "/nothing",
        "/products/",
        f"/products/{ID}/",
        "/products//ratings/a",
        "/problems/nothing",
        "/sales",
    ):
        answer = await client.get(url)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_each_problem_explains_itself(client, shop):
    own = ("product-not-found", "rating-not-found", "order-not-found", "invalid-token", "read-model-behind")
    for slug in (*own, "unavailable"):
        assert (await client.get(f"/problems/{slug}")).status_code == 200


async def test_cursors_are_bound_to_list_filters_and_sort(client, shop, make_product):
    rnd = random.Random(1)
    for _ in range(6):
        shop.put(make_product(rnd, is_discontinued=False, name="Chai", category="Tea"))
    cursor = (await client.get("/products?limit=2")).json()["next_cursor"]
    assert (await client.get("/products", params={"limit": 3, "cursor": cursor})).status_code == 200
    # The shortest position is 30 bytes; each changed character must be noticed.
    tampered = [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(len(cursor))]
    for forged in (*tampered, cursor + "A", cursor[:-1], cursor + "=", cursor[:14]):
        answer = await client.get("/products", params={"limit": 2, "cursor": forged})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor"), forged
    for other in ({"sort": "name"}, {"search": "chai"}, {"category": "Tea"}, {"min_price": "0"}, {"in_stock": "true"},
                  {"include_discontinued": "true"}, {"min_rating": "1"}):  # fmt: skip
        assert (await client.get("/products", params={"cursor": cursor, **other})).status_code == 422
    assert (await client.get("/inventory", params={"cursor": cursor})).status_code == 422
