"""Read your writes: a query with a token never answers an older state, and waits for what it names without polling."""

import asyncio
import random
from dataclasses import replace

import pytest

PATHS = [
    "/products/{id}", "/products/by-sku/wanted", "/inventory/{id}", "/categories", "/inventory", "/products?ids={id}",
    "/products", "/products?in_stock=true", "/products?search=chai", "/products?search=ch&sort=name",
]  # fmt: skip

TRADE_PATHS = [
    "/orders/{id}", "/orders", "/orders?customer_id=after", "/orders/{id}/history", "/products/{id}/history",
    "/products/{id}/related", "/alerts", "/alerts?product_id={id}", "/sales/daily?from=2026-01-01&to=2026-01-01",
]  # fmt: skip


@pytest.fixture
def product(shop, make_product):
    known = {"name": "Chai", "sku": "wanted", "available": 3, "is_out_of_stock": False, "is_discontinued": False}
    return shop.put(make_product(random.Random(1), **known))


@pytest.fixture
def order(shop, product, make_order):
    """With the product's id, so that the same paths serve both."""
    return shop.place(make_order(random.Random(1), id=product.id))


async def until(condition):
    """Looks until a condition outside of the service holds; pytest's timeout is the deadline."""
    while not condition():  # noqa: ASYNC110 nothing announces it
        await asyncio.sleep(0.002)


def listening(shop):
    """How many services hear announcements."""
    return shop.redis.pubsub_numpat()


@pytest.mark.parametrize("path", PATHS)
async def test_what_has_been_seen_is_answered_at_once(client, shop, product, path):
    headers = {"Consistency-Token": shop.token(product.id, 1), "Prefer": "wait=0"}
    answer = await client.get(path.format(id=product.id), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=0"


@pytest.mark.parametrize("path", PATHS)
async def test_what_has_not_been_seen_in_time_is_503(client, shop, product, path):
    headers = {"Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=0"}
    answer = await client.get(path.format(id=product.id), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/read-model-behind")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_query_waits_for_the_write_and_answers_the_new_state(client, shop, product, path):
    await until(lambda: listening(shop) == 1)
    headers = {"Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=30"}
    asked = asyncio.create_task(client.get(path.format(id=product.id), headers=headers))
    await looked(shop, product)
    assert not asked.done()
    shop.put(replace(product, name="Chai Tea", available=4, category="New", version=2))
    assert shop.announce(product.id) == 1
    answer = await asked
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"
    if "categories" in path:
        assert b"New" in answer.content
    elif "inventory" in path:
        assert b'"available":4' in answer.content
    else:
        assert b"Chai Tea" in answer.content


@pytest.mark.parametrize("path", TRADE_PATHS)
async def test_trade_is_answered_from_what_has_seen_the_write_or_not_at_all(client, shop, order, path):
    url = path.format(id=order.id)
    for version, status in ((1, 200), (2, 503)):
        headers = {"Consistency-Token": shop.token(order.id, version, "order"), "Prefer": "wait=0"}
        answer = await client.get(url, headers=headers)
        assert (answer.status_code, answer.headers.get("preference-applied")) == (
            (status, "wait=0") if status == 200 else (status, None)
        )
    assert answer.json()["type"] == "/problems/read-model-behind"
    shop.park(order.id)
    headers["Consistency-Token"] = shop.token(order.id, 1, "order")
    assert (await client.get(url, headers=headers)).status_code == 503


@pytest.mark.parametrize("path", TRADE_PATHS)
async def test_a_query_of_trade_waits_for_the_write_and_answers_the_new_state(
    client, shop, product, order, make_product, path
):
    await until(lambda: listening(shop) == 1)
    headers = {"Consistency-Token": shop.token(order.id, 2, "order"), "Prefer": "wait=30"}
    asked = asyncio.create_task(client.get(path.format(id=order.id), headers=headers))
    await looked(shop, product)
    assert not asked.done()
    entry = b'{"product_id":"%s","event":"after"}' % order.id.encode()
    shop.tell(shop.generation.order_history(order.id), 7, entry)
    shop.tell(shop.generation.product_history(order.id), 7, entry)
    shop.tell(shop.generation.alerts, 7, entry)
    shop.sell("2026-01-01", revenue=123456789)
    related = shop.put(make_product(random.Random(2), name="after", is_discontinued=False))
    shop.sell_together(order.id, related.id, 1)
    shop.place(replace(order, customer_id="after", version=2))
    shop.announce(order.id)
    answer = await asked
    assert answer.status_code == 200
    assert (b"12345.6789" if "sales" in path else b"after") in answer.content


async def looked(shop, product):
    """Returns when the service has asked for the product's version and found it lacking."""
    key = "cmdstat_mget"
    seen = shop.redis.info("commandstats").get(key, {"calls": 0})["calls"]
    await until(lambda: shop.redis.info("commandstats").get(key, {"calls": 0})["calls"] > seen)


async def test_an_announcement_of_something_else_does_not_end_the_wait(client, shop, product):
    await until(lambda: listening(shop) == 1)
    headers = {"Consistency-Token": shop.token(product.id, 3), "Prefer": "wait=30"}
    asked = asyncio.create_task(client.get(f"/products/{product.id}", headers=headers))
    await looked(shop, product)
    shop.put(replace(product, version=2))
    shop.announce(product.id)
    await looked(shop, product)
    assert not asked.done()
    shop.put(replace(product, version=3, name="Third"))
    shop.announce(product.id)
    assert (await asked).json()["name"] == "Third"


async def test_all_of_several_tokens_are_waited_for(client, shop, product, make_product):
    other = shop.put(make_product(random.Random(9)))
    url = f"/products/{product.id}"
    both = [shop.token(product.id, 1), shop.token(other.id, 2)]
    for headers in ([("Consistency-Token", ", ".join(both))], [("Consistency-Token", token) for token in both]):
        answer = await client.get(url, headers=[*headers, ("Prefer", "wait=0")])
        assert answer.status_code == 503
    shop.put(replace(other, version=2))
    answer = await client.get(url, headers=[("Consistency-Token", token) for token in both])
    assert answer.status_code == 200


async def test_a_parked_key_in_the_partition_is_never_passed_over(client, shop, product):
    headers = {"Consistency-Token": shop.token(product.id, 1), "Prefer": "wait=0"}
    key = shop.park(product.id)
    for path in PATHS:
        assert (await client.get(path.format(id=product.id), headers=headers)).status_code == 503
    assert (await client.get(f"/products/{product.id}")).status_code == 200
    shop.redis.delete(key)
    assert (await client.get(f"/products/{product.id}", headers=headers)).status_code == 200


async def test_one_announcement_wakes_many_with_one_mget(client, shop, product):
    await until(lambda: listening(shop) == 1)
    headers = {"Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=30"}
    asked = [asyncio.create_task(client.get(f"/products/{product.id}", headers=headers)) for _ in range(50)]
    await looked(shop, product)
    await until(lambda: True)
    shop.put(replace(product, version=2))
    shop.redis.config_resetstat()
    shop.announce(product.id)
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert shop.redis.info("commandstats")["cmdstat_mget"]["calls"] == 1


async def test_a_token_counts_in_the_generation_that_answers(client, shop, product):
    """The pointer moves to a generation that has not seen the write: 503, not its older state."""
    headers = {"Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=0"}
    shop.put(replace(product, version=2))
    assert (await client.get("/products", headers=headers)).status_code == 200
    shop.generation = type(shop.generation)(2)
    shop.products.clear()
    shop.put(product)
    shop.whole()
    for path in PATHS:
        assert (await client.get(path.format(id=product.id), headers=headers)).status_code == 503


async def test_who_waits_looks_again_when_the_subscription_was_lost(client, shop, product):
    await until(lambda: listening(shop) == 1)
    headers = {"Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=30"}
    asked = asyncio.create_task(client.get(f"/products/{product.id}", headers=headers))
    await looked(shop, product)
    shop.put(replace(product, version=2, name="Unheard"))  # and never announced
    assert shop.redis.client_kill_filter(_type="pubsub") == 1
    assert (await asked).json()["name"] == "Unheard"


async def test_a_malformed_preference_is_ignored_and_a_long_wait_is_clamped(client, shop, product):
    url = f"/products/{product.id}"
    for prefer, applied in [
        ("wait=5", "wait=5"),
        ("respond-async, WAIT = 7", "wait=7"),
        ('wait="3"; x=y', "wait=3"),
        ("wait=31", "wait=30"),
        ("wait=" + "9" * 5000, "wait=30"),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait", None),
        ("wait=x,,;", None),
    ]:
        answer = await client.get(url, headers={"Prefer": prefer})
        assert (answer.status_code, answer.headers.get("preference-applied")) == (200, applied), prefer


async def test_304_needs_the_token_to_be_met_too(client, shop, product):
    url = f"/products/{product.id}"
    tag = (await client.get(url)).headers["etag"]
    headers = {"If-None-Match": tag, "Consistency-Token": shop.token(product.id, 2), "Prefer": "wait=0"}
    assert (await client.get(url, headers=headers)).status_code == 503
    headers["Consistency-Token"] = shop.token(product.id, 1)
    assert (await client.get(url, headers=headers)).status_code == 304
