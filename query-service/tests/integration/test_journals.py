"""Histories and alerts: the entries as they are stored, newest first, each once however they are paged."""

import random

import orjson
import pytest

from contracts.documents import HistoryEntry, StockAlert
from contracts.keys import journal_member
from query_service import paging

OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def known(shop, make_product, make_order):
    """An id that both a product and an order have."""
    product = shop.put(make_product(random.Random(1)))
    return shop.place(make_order(random.Random(1), id=product.id)).id


def entry_at(position):
    data = {"name": "Côte de Blaye", "quantity": position}
    return HistoryEntry("2026-01-01T00:00:00.000000Z", "ProductAdded", "AddNewProduct", f"key-{position}", 1, data)


def tell_history(shop, known, positions):
    for position in positions:
        for key in (shop.generation.product_history(known), shop.generation.order_history(known)):
            shop.tell(key, position, orjson.dumps(entry_at(position)))


def tell_alerts(shop, positions, product_id):
    for position in positions:
        alert = StockAlert(product_id, "StockRanLow", position % 7, 7, "2026-01-01T00:00:00.000000Z")
        shop.tell(shop.generation.alerts, position, orjson.dumps(alert))


async def pages(client, path, asked):
    """Page after page of a list."""
    parameters = dict(asked)
    for _ in range(300):
        answer = await client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert ("link" in answer.headers) == (page["next_cursor"] is not None)
        yield page["items"]
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("path", ["/products/{}/history", "/orders/{}/history"])
async def test_a_history_has_every_entry_once_newest_first(client, shop, known, path):
    positions = random.Random(1).sample(range(1, 10**15), 250)
    tell_history(shop, known, positions)
    newest_first = sorted(positions, reverse=True)
    for limit in (1, 7, 50, 100):
        found = [page async for page in pages(client, path.format(known), {"limit": limit})]
        assert [item["data"]["quantity"] for page in found for item in page] == newest_first
        assert {len(page) for page in found[:-1]} == {limit}
    assert found[0][0] == orjson.loads(orjson.dumps(entry_at(newest_first[0])))
    default = (await client.get(path.format(known))).json()
    assert len(default["items"]) == 20


@pytest.mark.parametrize("path", ["/products/{}/history", "/orders/{}/history"])
async def test_what_exists_without_a_history_has_an_empty_one(client, known, path):
    assert (await client.get(path.format(known))).json() == {"items": [], "next_cursor": None}


async def test_entries_that_come_or_are_cut_off_between_pages_move_no_other(client, shop, known):
    """The very entry at which the cursor stands is cut off too."""
    tell_history(shop, known, range(1, 31))
    key, seen, newer = shop.generation.order_history(known), [], 100
    async for page in pages(client, f"/orders/{known}/history", {"limit": 4}):
        seen += [item["data"]["quantity"] for item in page]
        newer += 1
        tell_history(shop, known, [newer])
        shop.redis.zremrangebylex(key, b"[" + journal_member(seen[-1], b""), b"[" + journal_member(seen[-1], b"~"))
        shop.redis.zremrangebyrank(key, -1, -1)  # the oldest, as when a history is full
    assert seen == list(range(30, 6, -1))


async def test_a_page_that_ends_a_history_has_no_cursor(client, shop, known):
    tell_history(shop, known, range(4))
    for path in (f"/products/{known}/history", f"/orders/{known}/history"):
        assert (await client.get(path, params={"limit": 4})).json()["next_cursor"] is None
        assert (await client.get(path, params={"limit": 3})).json()["next_cursor"] is not None


async def test_a_cursor_is_of_its_own_history(client, shop, known, make_order):
    tell_history(shop, known, range(4))
    other = shop.place(make_order(random.Random(2))).id
    cursor = (await client.get(f"/orders/{known}/history?limit=1")).json()["next_cursor"]
    for path in (f"/orders/{other}/history", f"/products/{known}/history", "/alerts"):
        answer = await client.get(path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor")


async def test_entries_and_what_they_tell_of_are_one_round_trip(client, shop, known):
    tell_history(shop, known, range(10))
    await client.get(f"/orders/{known}/history")
    shop.redis.config_resetstat()
    await client.get(f"/orders/{known}/history")
    calls = {name: entry["calls"] for name, entry in shop.redis.info("commandstats").items()}
    assert (calls["cmdstat_evalsha_ro"], calls["cmdstat_zrange"], calls["cmdstat_mget"]) == (1, 1, 1)


async def test_alerts_of_all_products_come_newest_first(client, shop, known):
    tell_alerts(shop, range(1, 100, 2), known)
    tell_alerts(shop, range(2, 100, 2), OTHER)
    found = [item async for page in pages(client, "/alerts", {"limit": 8}) for item in page]
    assert [item["product_id"] for item in found] == [known if n % 2 else OTHER for n in range(99, 0, -1)]
    assert found[0] == {
        "product_id": known,
        "alert": "StockRanLow",
        "available": 1,
        "threshold": 7,
        "at": "2026-01-01T00:00:00.000000Z",
    }


@pytest.mark.parametrize("examined", [10, paging.EXAMINED])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_alerts_of_one_product_are_all_found_in_bounded_pages(client, shop, known, monkeypatch, examined, limit):
    monkeypatch.setattr(paging, "EXAMINED", examined)
    monkeypatch.setattr(paging, "_FIRST_STEP", 4)
    own = {1, 2, 30, 31, 32, 77, 199}
    tell_alerts(shop, own, known)
    tell_alerts(shop, set(range(200)) - own, OTHER)
    asked = {"product_id": known.upper(), "limit": limit}
    found = [page async for page in pages(client, "/alerts", asked)]
    available = [item["available"] for page in found for item in page]
    assert available == [n % 7 for n in sorted(own, reverse=True)]
    assert all(len(page) <= limit for page in found)
    if examined == 10:
        assert [] in found  # a page looks at so many only


async def test_a_product_that_is_not_known_has_no_alerts(client, shop):
    assert (await client.get(f"/alerts?product_id={OTHER}")).json() == {"items": [], "next_cursor": None}


async def test_a_cursor_of_alerts_is_of_its_product(client, shop, known):
    tell_alerts(shop, range(4), known)
    cursor = (await client.get("/alerts?limit=1")).json()["next_cursor"]
    answer = await client.get("/alerts", params={"product_id": known, "cursor": cursor})
    assert answer.status_code == 422
