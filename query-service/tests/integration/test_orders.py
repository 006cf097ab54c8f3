"""Orders: the stored bytes by id, and lists by customer and state that a model confirms."""

import random
import uuid
from dataclasses import replace

import pytest

from contracts.documents import store

UNKNOWN = "00000000-0000-4000-8000-000000000000"
SUMMARY = ("id", "customer_id", "status", "total", "currency", "line_count", "placed_at")


def newest_first(orders):
    by_id = sorted(orders, key=lambda order: uuid.UUID(order.id).bytes)
    return [order.id for order in sorted(by_id, key=lambda order: order.placed_at, reverse=True)]


@pytest.fixture
def filled(shop, make_order):
    rnd = random.Random(20260101)
    for _ in range(120):
        shop.place(make_order(rnd))
    return shop


async def all_pages(client, asked, limit, between=lambda: None):
    items, parameters = [], {**asked, "limit": limit}
    for _ in range(300):
        answer = await client.get("/orders", params=parameters)
        page = answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            assert "link" not in answer.headers
            return items
        assert len(page["items"]) == limit
        assert 'rel="next"' in answer.headers["link"]
        parameters["cursor"] = page["next_cursor"]
        between()
    raise AssertionError("the list has no end")


async def test_an_order_is_sent_as_the_bytes_that_are_stored(client, shop, make_order):
    order = shop.place(make_order(random.Random(1), version=4))
    answer = await client.get(f"/orders/{order.id.upper()}")
    assert (answer.status_code, answer.content) == (200, shop.bodies[order.id])
    assert answer.headers["etag"].startswith('"4-')
    assert "payment_reference" not in answer.json()
    shop.place(replace(order, status="paid", payment_reference="receipt", version=5))
    assert (await client.get(f"/orders/{order.id}")).json()["payment_reference"] == "receipt"


@pytest.mark.parametrize("path", ["/orders/{}", "/orders/{}/history"])
async def test_unknown_and_hidden_orders_are_404(client, shop, make_order, path):
    hidden = make_order(random.Random(1))
    shop.redis.set(shop.generation.order(hidden.id), store(hidden, hidden=True))
    shop.tell(shop.generation.order_history(hidden.id), 1, b"{}")
    for order_id in (UNKNOWN, hidden.id):
        answer = await client.get(path.format(order_id))
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/order-not-found")
        assert order_id in answer.json()["detail"]


@pytest.mark.parametrize("customer", [None, "guest", "a:b", "a@b", "nobody"])
@pytest.mark.parametrize("status", [None, "placed", "shipped", "cancelled"])
async def test_each_combination_has_every_order_once_newest_first(client, filled, customer, status):
    wanted = {name: value for name, value in (("customer_id", customer), ("status", status)) if value is not None}
    fitting = [o for o in filled.orders.values() if all(getattr(o, name) == value for name, value in wanted.items())]
    for limit in (1, 7, 100):
        items = await all_pages(client, wanted, limit)
        assert [item["id"] for item in items] == newest_first(fitting)
    for item in items:
        order = filled.orders[item["id"]]
        assert tuple(item) == SUMMARY
        assert (item["customer_id"], item["status"], item["line_count"]) == (
            order.customer_id,
            order.status,
            len(order.lines),
        )


async def test_orders_that_do_not_move_come_exactly_once_while_others_come_and_change(client, filled, make_order):
    rnd = random.Random(7)
    stays = newest_first(o for o in filled.orders.values() if o.status == "placed")
    others = []

    def change():
        others.extend(filled.place(make_order(rnd)) for _ in range(3))
        moved = rnd.choice(others)
        filled.place(replace(moved, status="cancelled"))

    items = await all_pages(client, {"status": "placed"}, 6, change)
    assert [item["id"] for item in items if item["id"] in set(stays)] == stays


async def test_a_page_reads_as_many_orders_as_it_sends_in_one_round_trip(client, filled):
    asked = {"customer_id": "guest", "status": "paid", "limit": 4}
    await client.get("/orders", params=asked)
    filled.redis.config_resetstat()
    assert len((await client.get("/orders", params=asked)).json()["items"]) == 4
    calls = {name: entry["calls"] for name, entry in filled.redis.info("commandstats").items()}
    assert (calls["cmdstat_zrange"], calls["cmdstat_mget"], calls["cmdstat_evalsha_ro"]) == (1, 2, 1)


async def test_a_cursor_is_of_its_customer_and_state(client, filled):
    cursor = (await client.get("/orders?customer_id=guest&limit=1")).json()["next_cursor"]
    assert (await client.get("/orders", params={"customer_id": "guest", "cursor": cursor})).status_code == 200
    for other in ({}, {"customer_id": "a@b"}, {"customer_id": "guest", "status": "paid"}, {"status": "paid"}):
        assert (await client.get("/orders", params={"cursor": cursor, **other})).status_code == 422
