"""Lists, page by page, against a plain model: every row once, in order, whatever else is written meanwhile."""

import random
import unicodedata
import uuid
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from contracts.keys import SORTS
from query_service import paging
from query_service.products import search


def folded(text):
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.casefold()


QUERIES = ["ch", "chai", "c", "p", "SKU", "sku s", "côt", "COTE blaye", "strasse", "m c", "pho", "x", "tea Tea t", "zz"]
ORDER = {
    "name": lambda p: folded(p.name).encode(),
    "price": lambda p: Decimal(p.price),
    "-price": lambda p: -Decimal(p.price),
    "-rating": lambda p: 6.0 if p.user_rating is None else -p.user_rating,
    "-created_at": lambda p: [-int(digit) if digit.isdigit() else 0 for digit in p.created_at],
}


def in_order(products, sort):
    return sorted(products, key=lambda p: (ORDER[sort](p), uuid.UUID(p.id).bytes))


def split(text):
    return "".join(c if c.isalnum() else " " for c in folded(text)).split()


def fits(product, asked):
    present = split(product.name) + split(product.sku or "")
    return (
        (asked.get("include_discontinued") == "true" or not product.is_discontinued)
        and ("category" not in asked or product.category == asked["category"])
        and ("min_price" not in asked or Decimal(product.price) >= Decimal(asked["min_price"]))
        and ("max_price" not in asked or Decimal(product.price) <= Decimal(asked["max_price"]))
        and ("in_stock" not in asked or (product.available > 0) == (asked["in_stock"] == "true"))
        and ("min_rating" not in asked or (product.user_rating or 0) >= float(asked["min_rating"]))
        and all(any(w.startswith(q) for w in present) for q in split(asked.get("search", "")))
    )


async def all_pages(client, path, asked, limit=7, between=None):
    """Every item of a list, following cursors; each page within its limit, each link the same as its cursor."""
    items, parameters = [], {**asked, "limit": limit}
    for _ in range(10_000):
        answer = await client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            assert "link" not in answer.headers
            return items
        parameters["cursor"] = page["next_cursor"]
        url, _, rel = answer.headers["link"].partition(";")
        assert rel.strip() == 'rel="next"'
        assert httpx.URL(url.strip("<>")).params == httpx.QueryParams(parameters)
        if between:
            between()
    raise AssertionError("the list has no end")


@pytest.fixture
def filled(shop, make_product):
    rnd = random.Random(20260101)
    for _ in range(150):
        shop.put(make_product(rnd))
    return shop


@pytest.fixture(params=["small", "default"])
def bounds(request, monkeypatch):
    """With tiny bounds too, so that every way of paging and of searching is taken, and changes between pages."""
    if request.param == "small":
        monkeypatch.setattr(paging, "EXAMINED", 12)
        monkeypatch.setattr(paging, "_FIRST_STEP", 5)
        monkeypatch.setattr(search, "EXAMINED", 12)
        monkeypatch.setattr(search, "FEW", 9)
        monkeypatch.setattr(search, "MERGED", 3)
        monkeypatch.setattr(search, "GATHERED", 60)
        monkeypatch.setattr(search, "STRETCH", 7)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("include", ["false", "true"])
async def test_each_sort_has_every_product_once_in_order(client, filled, sort, include):
    for category in (None, "Tea", "Phones & more", "Büro", "none such"):
        asked = {"sort": sort, "include_discontinued": include} | ({"category": category} if category else {})
        expected = in_order([p for p in filled.products.values() if fits(p, asked)], sort)
        items = await all_pages(client, "/products", asked)
        assert [item["id"] for item in items] == [p.id for p in expected]


@pytest.mark.parametrize("seed", range(8))
async def test_every_combination_of_filters_and_sorts_is_what_a_model_says(client, filled, bounds, seed):
    rnd = random.Random(seed)
    for _ in range(6):
        asked = {"sort": rnd.choice(SORTS), **random_filters(rnd)}
        expected = in_order([p for p in filled.products.values() if fits(p, asked)], asked["sort"])
        items = await all_pages(client, "/products", asked, limit=rnd.choice((1, 3, 8, 100)))
        assert [item["id"] for item in items] == [p.id for p in expected], asked


@pytest.mark.parametrize("seed", range(8))
async def test_search_finds_what_a_model_finds(client, filled, bounds, seed):
    rnd = random.Random(seed)
    for query in rnd.sample(QUERIES, 6):
        asked = {"search": query, "sort": rnd.choice(SORTS)} | (random_filters(rnd) if rnd.random() < 0.4 else {})
        expected = in_order([p for p in filled.products.values() if fits(p, asked)], asked["sort"])
        items = await all_pages(client, "/products", asked, limit=rnd.choice((2, 9, 100)))
        assert [item["id"] for item in items] == [p.id for p in expected], asked


async def test_a_search_finds_the_oldest_of_many_products_at_once(client, filled, make_product, monkeypatch):
    """Its prefix begins too many words to be merged, and the newest products, which a walk would meet, have none."""
    monkeypatch.setattr(paging, "EXAMINED", 12)
    monkeypatch.setattr(search, "FEW", 9)
    monkeypatch.setattr(search, "MERGED", 3)
    monkeypatch.setattr(search, "STRETCH", 4)
    rnd = random.Random(3)
    old = [
        filled.put(
            make_product(
                rnd, name=f"Zeta{n}", created_at=f"2025-01-01T00:00:{n:02}.000000Z", is_discontinued=False, sku=None
            )
        )
        for n in range(15)
    ]
    for asked in ({}, {"category": "Tea"}, {"search": "zeta ze"}):
        answer = await client.get("/products", params={"search": "zeta", "limit": 3, **asked})
        wanted = [product.id for product in reversed(old) if fits(product, {"search": "zeta", **asked})]
        assert [item["id"] for item in answer.json()["items"]] == wanted[:3]


def random_filters(rnd):
    filters = {
        "category": rnd.choice(["Tea", "Büro"]),
        "min_price": rnd.choice(["0", "5.125", "5.1251", "19.99"]),
        "max_price": rnd.choice(["0.00", "5.1249", "349.99", "99999999999.9999"]),
        "in_stock": rnd.choice(["true", "false"]),
        "min_rating": rnd.choice(["1", "3.33", "3.34", "4.5", "5"]),
        "include_discontinued": rnd.choice(["true", "false"]),
    }
    return dict(rnd.sample(sorted(filters.items()), rnd.randint(0, 3)))


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("asked", [{}, {"in_stock": "true"}, {"search": "c"}, {"include_discontinued": "true"}])
async def test_rows_that_do_not_move_come_exactly_once_while_others_come_and_go(
    client, filled, bounds, make_product, sort, asked
):
    rnd = random.Random(7)
    stays = [p.id for p in in_order([p for p in filled.products.values() if fits(p, asked)], sort)]
    others = []

    def change():
        for _ in range(3):
            others.append(filled.put(make_product(rnd)))
        moved = rnd.choice(others)
        filled.put(replace(filled.products[moved.id], price="7.77", name="Moved Chai", version=2))

    items = await all_pages(client, "/products", {"sort": sort, **asked}, limit=20, between=change)
    ids = [item["id"] for item in items]
    assert [one for one in ids if one in set(stays)] == stays


async def test_an_item_fulfils_the_filters_in_the_bytes_that_are_sent(client, filled, bounds):
    asked = {"in_stock": "true", "min_rating": "3.5", "max_price": "20"}
    for item in await all_pages(client, "/products", asked):
        assert not item["is_out_of_stock"]
        assert item["user_rating"] >= 3.5
        assert Decimal(item["price"]) <= 20


async def test_nothing_follows_a_page_that_ends_the_list(client, shop, make_product):
    rnd = random.Random(1)
    for _ in range(4):
        shop.put(make_product(rnd, is_discontinued=False, name="Chai"))
    searches = ({"search": "chai"}, {"search": "chai", "sort": "name"})
    for extra in ({}, *searches, {"include_discontinued": "true"}, {"min_price": "0"}):
        full = (await client.get("/products", params={"limit": 4, **extra})).json()
        assert (len(full["items"]), full["next_cursor"]) == (4, None)
        cut = (await client.get("/products", params={"limit": 3, **extra})).json()
        assert (len(cut["items"]), cut["next_cursor"] is None) == (3, False)
    assert (await client.get("/inventory?limit=4")).json()["next_cursor"] is None


async def test_a_cursor_survives_a_rebuild_and_a_restart(serve_over, redis_url, filled):
    expected = [p.id for p in in_order([p for p in filled.products.values() if not p.is_discontinued], "name")]
    async with serve_over(redis_url) as client:
        first = (await client.get("/products", params={"sort": "name", "limit": 10})).json()
    products = list(filled.products.values())
    filled.redis.flushall()
    filled.products.clear()
    filled.generation = type(filled.generation)(2)
    for product in products:
        filled.put(product)
    filled.whole()
    async with serve_over(redis_url) as client:
        rest = await all_pages(client, "/products", {"sort": "name", "cursor": first["next_cursor"]}, limit=10)
    assert [item["id"] for item in first["items"] + rest] == expected


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, lambda n: True),
        ({"out_of_stock": "true"}, lambda n: n == 0),
        ({"out_of_stock": "false"}, lambda n: n > 0),
        ({"max_available": "3"}, lambda n: n <= 3),
        ({"max_available": "3", "out_of_stock": "false"}, lambda n: 0 < n <= 3),
        ({"max_available": "0"}, lambda n: n == 0),
        ({"max_available": "5", "out_of_stock": "true"}, lambda n: n == 0),
        ({"max_available": "9999999999999"}, lambda n: True),
    ],
)
async def test_stock_is_listed_by_what_is_available(client, filled, asked, wanted):
    rows = sorted((p.available, uuid.UUID(p.id).bytes) for p in filled.products.values() if wanted(p.available))
    items = await all_pages(client, "/inventory", asked)
    assert [(i["available"], uuid.UUID(i["id"]).bytes) for i in items] == rows


async def test_a_page_of_a_sort_reads_as_many_documents_as_it_sends(client_without_memory, filled):
    client = client_without_memory
    priced = {"sort": "-price", "min_price": "5", "max_price": "20"}
    for asked in ({"sort": "price"}, {"sort": "-rating", "category": "Tea"}, priced):
        await client.get("/products", params={**asked, "limit": 4})
        filled.redis.config_resetstat()
        items = (await client.get("/products", params={**asked, "limit": 4})).json()["items"]
        calls = {name: entry["calls"] for name, entry in filled.redis.info("commandstats").items()}
        assert len(items) == 4
        assert (calls["cmdstat_zrange"], calls["cmdstat_mget"], calls["cmdstat_evalsha_ro"]) == (1, 2, 1)
