"""The log over HTTP: one stream's history, the feed, its heads, and what is fixed for the shop."""

import asyncio

import httpx
import orjson
import pytest

from contracts.envelope import RecordedEvent, decode

from .support import UNKNOWN, Shop, pointers, problem


def read(response: httpx.Response) -> list[RecordedEvent]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [decode(orjson.loads(line)) for line in response.content.splitlines()]


async def test_the_feed_gives_every_event_once_and_says_how_far_it_is_settled(shop: Shop) -> None:
    await asyncio.gather(*(shop.add() for _ in range(10)))
    seen: list[RecordedEvent] = []
    while True:
        response = await shop.http.get("/events", params={"after": seen[-1].position if seen else 0, "limit": 7})
        page = read(response)
        assert response.headers["stockroom-settled"] == "20"
        if not page:
            break
        seen += page
    assert [event.position for event in seen] == list(range(1, 21))
    assert read(await shop.http.get("/events")) == seen


async def test_the_feed_gives_the_very_bytes_that_are_published(shop: Shop) -> None:
    await shop.add(name="Côte de Blaye", description="a\tb\n")
    lines = (await shop.http.get("/events")).content.splitlines()
    sent = [row["message"].encode() for row in await shop.sql.fetch("SELECT message FROM outbox ORDER BY seq")]
    assert lines == sent


async def test_heads_name_the_streams_of_a_range_and_where_it_ends(shop: Shop) -> None:
    pid = await shop.add()
    for _ in range(3):
        await shop.http.post(f"/inventory/{pid}/additions", json={"quantity": 1})
    system = (await shop.http.get("/system")).json()
    assert system == {"partitions": 8, "currency": "EUR"}
    heads = (await shop.http.get("/events/heads")).json()
    assert (heads["settled"], heads["until"]) == (5, 5)
    assert sorted((head[0], head[2], head[3]) for head in heads["heads"]) == [
        (f"inventory-{pid}", 4, 5),
        (f"product-{pid}", 1, 1),
    ]
    part = (await shop.http.get("/events/heads?after=1&limit=2")).json()
    assert (part["settled"], part["until"]) == (5, 3)
    assert [head[2] for head in part["heads"]] == [2]
    rest = (await shop.http.get("/events/heads?after=5")).json()
    assert (rest["until"], rest["heads"]) == (5, [])


async def test_a_stream_is_read_behind_a_version(shop: Shop) -> None:
    pid = await shop.add()
    for price in ("1", "2", "3"):
        await shop.http.post(f"/products/{pid}/price-changes", json={"price": price})
    path = f"/streams/product-{pid}/events"
    assert [event.version for event in read(await shop.http.get(path))] == [1, 2, 3, 4]
    assert [event.version for event in read(await shop.http.get(f"{path}?after=1&limit=2"))] == [2, 3]
    assert read(await shop.http.get(f"{path}?after=4")) == []
    assert (await shop.http.head(path)).status_code == 200
    problem(await shop.http.get(f"/streams/product-{UNKNOWN}/events"), 404, "stream-not-found")


@pytest.mark.parametrize("path", ["/events", "/events/heads", f"/streams/product-{UNKNOWN}/events"])
async def test_a_query_of_the_log_that_breaks_the_schema_is_422(shop: Shop, path: str) -> None:
    for query, parameter in (
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=99999999999999999999999", "after"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("page=2", "page"),
        ("after=%FF", "query"),
    ):
        assert pointers(problem(await shop.http.get(f"{path}?{query}"), 422, "invalid-input")) == [parameter]


async def test_positions_and_versions_may_be_as_great_as_they_can_be(shop: Shop) -> None:
    pid = await shop.add()
    for path in (
        f"/events?after={2**63 - 1}",
        f"/events/heads?after={2**63 - 1}",
        f"/streams/product-{pid}/events?after={2**31 - 1}",
    ):
        assert (await shop.http.get(path)).status_code == 200


async def test_what_can_be_no_stream_id_is_422(shop: Shop) -> None:
    for bad in ("%00", "a%20b", "%C3%A9", "x" * 161):
        assert pointers(problem(await shop.http.get(f"/streams/{bad}/events"), 422, "invalid-input")) == ["stream_id"]
