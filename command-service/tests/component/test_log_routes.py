"""The log over HTTP: one stream's history, the feed, its heads, and what is fixed for the shop."""

import asyncio

import httpx
import orjson
import pytest

from contracts.envelope import RecordedEvent, decode
from contracts.topology import partition_of

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


async def test_a_partition_is_read_key_by_key_with_the_bytes_of_the_feed(shop: Shop) -> None:
    ids = await asyncio.gather(*(shop.add() for _ in range(12)))
    for pid in ids:
        await shop.http.put(f"/products/{pid}/ratings/a+&@1", json={"rating": 5})
        await shop.http.put(f"/products/{pid}/ratings/b", json={"rating": 4})
        await shop.http.put(f"/products/{pid}/ratings/b", json={"rating": 3})
    lines = (await shop.http.get("/events")).content.splitlines()
    seen: list[bytes] = []
    for partition in range(8):
        path = f"/partitions/{partition}/events"
        its = [line for line in lines if partition_of(decode(orjson.loads(line)).partition_key, 8) == partition]
        whole = await shop.http.get(path)
        assert [(e.partition_key, e.stream_id, e.version) for e in read(whole)] == sorted(
            (e.partition_key, e.stream_id, e.version) for e in [decode(orjson.loads(line)) for line in its]
        )
        pages: list[bytes] = []
        while True:
            after = {"after": decode(orjson.loads(pages[-1])).id} if pages else {}
            page = (await shop.http.get(path, params={"limit": 3, **after})).content.splitlines()
            pages += page
            if not page:
                break
        assert pages == whole.content.splitlines()
        seen += pages
    assert sorted(seen) == sorted(lines)


async def test_a_place_in_a_partition_needs_no_event_that_stands_there(shop: Shop) -> None:
    pid = await shop.add()
    path = f"/partitions/{partition_of(pid, 8)}/events"
    for after, behind in (
        (f"inventory-{pid}@9", [f"product-{pid}"]),
        (f"order-{pid}@1", [f"product-{pid}"]),
        (f"product-{pid}@1", []),
        (f"alpha-{pid}@1", [f"inventory-{pid}", f"product-{pid}"]),
    ):
        found = read(await shop.http.get(path, params={"after": after}))
        assert [event.stream_id for event in found] == behind


async def test_a_partition_that_there_is_not_is_404_and_a_query_that_breaks_the_schema_422(shop: Shop) -> None:
    for number in ("8", "64", "99999"):
        problem(await shop.http.get(f"/partitions/{number}/events"), 404, "partition-not-found")
    for number in ("-1", "x", "01", "999999"):
        document = problem(await shop.http.get(f"/partitions/{number}/events"), 422, "invalid-input")
        assert pointers(document) == ["partition"]
    for query, parameter in (
        ("after=x", "after"),
        ("after=product-1", "after"),
        ("after=product-1@0", "after"),
        ("after=product-1@9999999999", "after"),
        ("after=%00", "after"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("page=2", "page"),
    ):
        refused = await shop.http.get(f"/partitions/0/events?{query}")
        assert pointers(problem(refused, 422, "invalid-input")) == [parameter]


async def test_versions_of_streams_come_in_the_order_asked_for(shop: Shop) -> None:
    pid = await shop.add()
    for _ in range(3):
        await shop.http.post(f"/inventory/{pid}/additions", json={"quantity": 1})
    asked = [f"inventory-{pid}", f"product-{UNKNOWN}", f"product-{pid}", f"inventory-{pid}", "x" * 160]
    response = await shop.http.post("/streams/versions", json={"streams": asked})
    assert (response.status_code, response.json()) == (200, {"versions": [4, 0, 1, 4, 0]})
    response = await shop.http.post("/streams/versions", json={"streams": ["x" * 160] * 1000})
    assert response.json() == {"versions": [0] * 1000}
    assert (await shop.http.post("/streams/versions", json={"streams": []})).json() == {"versions": []}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"streams": ["x"] * 1001}, "#/streams"),
        ({"streams": ["x", ""]}, "#/streams/1"),
        ({"streams": ["x" * 161]}, "#/streams/0"),
        ({"streams": ["a\x00b"]}, "#/streams/0"),
        ({"streams": [5]}, "#/streams/0"),
        ({"streams": "x"}, "#/streams"),
        ({"streams": [], "after": 1}, "#/after"),
        ({}, "#/streams"),
        (None, "#"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_question_for_versions_that_breaks_the_schema_is_422(shop: Shop, body: object, place: str) -> None:
    assert pointers(problem(await shop.http.post("/streams/versions", json=body), 422, "invalid-input")) == [place]
