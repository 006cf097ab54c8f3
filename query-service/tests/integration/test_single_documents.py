"""Single documents: the stored bytes, entity tags, and every way in which there is nothing."""

import random
from dataclasses import replace

import pytest

from contracts.documents import store
from contracts.keys import LIVE

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def product(shop, make_product):
    return shop.put(make_product(random.Random(1), sku="A B.1", is_discontinued=False, version=7))


async def test_a_product_is_sent_as_the_bytes_that_are_stored(client, shop, product):
    answer = await client.get(f"/products/{product.id}")
    assert answer.status_code == 200
    assert answer.content == shop.bodies[product.id]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["etag"].startswith('"7-')
    assert "preference-applied" not in answer.headers


async def test_ids_in_capitals_are_the_same_ids(client, product):
    assert (await client.get(f"/products/{product.id.upper()}")).json()["id"] == product.id


@pytest.mark.parametrize(
    "path", ["/products/{id}", "/products/by-sku/A%20B.1", "/inventory/{id}", "/categories", "/products",
             "/products/{id}/related", "/products/{id}/history", "/orders/{id}", "/orders/{id}/history", "/orders",
             "/alerts", "/sales/daily?from=2026-01-01&to=2026-01-02"]
)  # fmt: skip
async def test_what_the_client_holds_is_not_sent_again(client, shop, product, make_order, path):
    shop.place(make_order(random.Random(1), id=product.id))
    url = path.format(id=product.id)
    first = await client.get(url)
    tag = first.headers["etag"]
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(url, headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-cache"
    for held in ('"other"', tag.strip('"'), tag[:-2] + '"', ""):
        assert (await client.get(url, headers={"If-None-Match": held})).status_code == 200


async def test_the_entity_tag_of_a_list_is_of_its_bytes_and_no_version(client, shop, product):
    before = (await client.get("/products")).headers["etag"]
    shop.put(replace(product, name="Other", version=8))
    after = (await client.get("/products")).headers["etag"]
    assert before != after
    assert after.startswith('"list-')


async def test_a_product_is_found_by_its_sku(client, shop, product):
    answer = await client.get("/products/by-sku/A%20B.1")
    assert answer.content == shop.bodies[product.id]
    missing = await client.get("/products/by-sku/A%20B")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/product-not-found")


async def test_stock_is_found_by_product(client, shop, product):
    answer = (await client.get(f"/inventory/{product.id}")).json()
    assert (answer["id"], answer["available"]) == (product.id, product.available)


async def test_a_rating_and_a_product_that_is_missing_are_told_apart(client, shop, product):
    shop.rate(product.id, "a@b", 4)
    shop.rate(product.id, "withdrawn", 0)
    found = await client.get(f"/products/{product.id}/ratings/a%40b")
    assert (found.json()["rating"], found.headers["etag"][:3]) == (4, '"1-')
    for user in ("nobody", "withdrawn"):
        missing = await client.get(f"/products/{product.id}/ratings/{user}")
        assert (missing.status_code, missing.json()["type"]) == (404, "/problems/rating-not-found")
    missing = await client.get(f"/products/{UNKNOWN}/ratings/a")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/product-not-found")


@pytest.mark.parametrize("path", ["/products/{}", "/inventory/{}", "/products/{}/related", "/products/{}/history"])
async def test_unknown_and_hidden_documents_are_404(client, shop, make_product, path):
    hidden = make_product(random.Random(2))
    shop.redis.set(shop.generation.product(hidden.id), store(hidden, hidden=True))
    shop.redis.set(shop.generation.inventory(hidden.id), store(hidden, hidden=True))
    for product_id in (UNKNOWN, hidden.id):
        answer = await client.get(path.format(product_id))
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/product-not-found")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_discontinued_products_stay_readable(client, shop, make_product):
    gone = shop.put(make_product(random.Random(3), sku="gone", is_discontinued=True))
    for path in (f"/products/{gone.id}", "/products/by-sku/gone"):
        assert (await client.get(path)).json()["is_discontinued"] is True
    assert len((await client.get(f"/products?ids={gone.id}")).json()["items"]) == 1
    assert (await client.get("/products")).json() == {"items": [], "next_cursor": None}


async def test_several_come_in_the_order_asked_for_once_each(client, shop, make_product):
    rnd = random.Random(4)
    known = [shop.put(make_product(rnd)).id for _ in range(5)]
    asked = [known[3], UNKNOWN, known[0], known[3].upper(), known[4]]
    answer = (await client.get("/products", params={"ids": ",".join(asked)})).json()
    assert [item["id"] for item in answer["items"]] == [known[3], known[0], known[4]]
    assert answer["next_cursor"] is None


async def test_categories_count_what_is_listed_in_the_order_of_names(client, shop, make_product):
    rnd = random.Random(5)
    for category, gone in [("tea", False), ("Äpfel", False), ("Zwirn", True), ("tea", False), ("Bücher", False)]:
        shop.put(make_product(rnd, category=category, is_discontinued=gone))
    shop.redis.hset(shop.generation.categories, "none", 0)
    answer = (await client.get("/categories")).json()
    assert answer == {
        "items": [
            {"category": "Äpfel", "products": 1},
            {"category": "Bücher", "products": 1},
            {"category": "tea", "products": 2},
        ]
    }


@pytest.mark.parametrize(
    "path", ["/products/{id}", "/products", "/products?ids={id}", "/products/by-sku/A%20B.1", "/inventory",
             "/inventory/{id}", "/categories", "/products?search=a", "/products?search=a&sort=name",
             "/products/{id}/ratings/u", "/products/{id}/related", "/products/{id}/history", "/orders",
             "/orders?customer_id=a", "/orders/{id}", "/orders/{id}/history", "/alerts", "/sales/daily"]
)  # fmt: skip
async def test_a_generation_that_is_not_whole_answers_503_and_never_404(client_without_memory, shop, product, path):
    client = client_without_memory
    url = path.format(id=product.id)

    async def assert_behind():
        answer = await client.get(url)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/read-model-behind")
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/ready")).status_code == 503

    shop.whole(False)
    await assert_behind()
    shop.whole()
    assert (await client.get(url)).status_code in (200, 404)
    assert (await client.get("/health/ready")).status_code == 200
    for nothing in (None, "", "junk"):
        shop.redis.delete(LIVE) if nothing is None else shop.redis.set(LIVE, nothing)
        await assert_behind()
    shop.redis.flushall()
    await assert_behind()


async def test_reads_follow_the_pointer_between_two_requests(client_without_memory, shop, product):
    client = client_without_memory
    old = shop.bodies[product.id]
    assert (await client.get(f"/products/{product.id}")).content == old
    shop.generation = type(shop.generation)(12)
    shop.products.clear()
    shop.put(replace(product, name="Rebuilt"))
    assert (await client.get(f"/products/{product.id}")).content == old
    shop.whole()
    assert (await client.get(f"/products/{product.id}")).json()["name"] == "Rebuilt"
    assert [i["name"] for i in (await client.get("/products")).json()["items"]] == ["Rebuilt"]
    assert [i["name"] for i in (await client.get("/products?search=reb")).json()["items"]] == ["Rebuilt"]
