"""What read models keep with the command service: their generations, and the events that they leave out."""

import asyncio
from typing import Any

import httpx
import pytest

from .support import UNKNOWN, Shop, pointers, problem


async def generations(shop: Shop) -> tuple[int, list[tuple[int, str]]]:
    """The live one, and the number and status of each."""
    document = (await shop.http.get("/generations")).json()
    return document["live"], [(one["number"], one["status"]) for one in document["generations"]]


async def begin(shop: Shop, **body: Any) -> int:
    response = await shop.http.post("/generations", json=body)
    assert response.status_code == 201, response.text
    return int(response.json()["number"])


async def switch(shop: Shop, number: int) -> httpx.Response:
    return await shop.http.post(f"/generations/{number}/switch")


async def drop(shop: Shop, number: int) -> httpx.Response:
    return await shop.http.delete(f"/generations/{number}")


async def test_a_new_shop_has_one_generation_and_it_is_live(shop: Shop) -> None:
    document = (await shop.http.get("/generations")).json()
    [first] = document["generations"]
    assert (document["live"], first["number"], first["status"], first["switched_at"]) == (1, 1, "live", None)
    assert first["created_at"].endswith("Z")


async def test_a_generation_is_begun_switched_to_and_back_and_dropped(shop: Shop) -> None:
    assert await begin(shop) == 2
    assert await generations(shop) == (1, [(1, "live"), (2, "building")])
    assert (await switch(shop, 2)).status_code == 204
    assert await generations(shop) == (2, [(1, "kept"), (2, "live")])
    assert (await switch(shop, 1)).status_code == 204
    assert await generations(shop) == (1, [(1, "live"), (2, "kept")])
    switched = (await shop.http.get("/generations")).json()["generations"][0]["switched_at"]
    assert (await switch(shop, 1)).status_code == 204
    assert (await shop.http.get("/generations")).json()["generations"][0]["switched_at"] == switched
    assert (await drop(shop, 2)).status_code == 204
    assert await generations(shop) == (1, [(1, "live")])


async def test_no_number_is_given_twice_nor_one_that_redis_has_seen(shop: Shop) -> None:
    assert await begin(shop) == 2
    assert (await drop(shop, 2)).status_code == 204
    assert await begin(shop) == 3
    await drop(shop, 3)
    assert await begin(shop, above=7) == 8
    await drop(shop, 8)
    assert await begin(shop, above=4) == 9
    await drop(shop, 9)
    response = await shop.http.post("/generations")
    assert (response.status_code, response.json()) == (201, {"number": 10})


async def test_a_generation_is_built_alone(shop: Shop) -> None:
    assert await begin(shop) == 2
    refused = problem(await shop.http.post("/generations", json={"above": 5}), 409, "generation-building")
    assert "2" in refused["detail"]
    assert refused["number"] == 2
    assert await generations(shop) == (1, [(1, "live"), (2, "building")])


async def test_of_several_that_begin_a_generation_at_once_one_does(shop: Shop) -> None:
    responses = await asyncio.gather(*(shop.http.post("/generations", json={"above": n}) for n in range(8)))
    assert sorted(response.status_code for response in responses) == [201, *[409] * 7]
    _, [_, (number, status)] = await generations(shop)
    assert [r.json() for r in responses if r.status_code == 201] == [{"number": number}]
    assert status == "building"


async def test_exactly_one_generation_is_live_whoever_switches_at_once(shop: Shop) -> None:
    for number in range(2, 6):
        await begin(shop)
        await switch(shop, number)
    switching = [switch(shop, number) for number in (1, 2, 3, 4) * 3]
    looking = [generations(shop) for _ in range(12)]
    mixed = [one for pair in zip(switching, looking, strict=True) for one in pair]
    answers: list[Any] = await asyncio.gather(*mixed)
    assert {answer.status_code for answer in answers[::2]} == {204}
    for live, all_ in [*answers[1::2], await generations(shop)]:
        assert [number for number, status in all_ if status == "live"] == [live]
        assert len(all_) == 5


async def test_what_queries_are_answered_from_can_not_be_dropped(shop: Shop) -> None:
    problem(await drop(shop, 1), 409, "generation-live")
    await begin(shop)
    await switch(shop, 2)
    assert (await drop(shop, 1)).status_code == 204
    problem(await drop(shop, 2), 409, "generation-live")


async def test_a_generation_that_never_was_or_was_dropped_is_404(shop: Shop) -> None:
    await begin(shop)
    await drop(shop, 2)
    for number in (2, 3, 999_999_999):
        problem(await switch(shop, number), 404, "generation-not-found")
        problem(await drop(shop, number), 404, "generation-not-found")
    assert await generations(shop) == (1, [(1, "live")])


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"above": -1}, "#/above"),
        ({"above": "1"}, "#/above"),
        ({"above": 1.5}, "#/above"),
        ({"above": True}, "#/above"),
        ({"above": 2**31}, "#/above"),
        ({"number": 3}, "#/number"),
        ([], "#"),
    ],
    ids=str,
)
async def test_a_generation_is_not_begun_by_a_body_that_breaks_the_schema(shop: Shop, body: Any, place: str) -> None:
    assert pointers(problem(await shop.http.post("/generations", json=body), 422, "invalid-input")) == [place]
    assert await generations(shop) == (1, [(1, "live")])


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.0", "9999999999"])
async def test_what_can_be_no_generation_is_422(shop: Shop, number: str) -> None:
    for response in (
        await shop.http.post(f"/generations/{number}/switch"),
        await shop.http.delete(f"/generations/{number}"),
    ):
        assert pointers(problem(response, 422, "invalid-input")) == ["number"]


async def discard(shop: Shop, event_id: str, reason: str) -> httpx.Response:
    return await shop.http.post("/discards", json={"event_id": event_id, "reason": reason})


async def test_a_discard_is_kept_with_its_first_reason_in_the_order_of_discarding(shop: Shop) -> None:
    pid, user = await shop.add(), "a@b@1"
    await shop.http.put(f"/products/{pid}/ratings/{user}", json={"rating": 5})
    first, second = f"rating-{pid}-{user}@1", f"inventory-{pid}@1"
    assert (await shop.http.get("/discards")).json() == {"items": []}
    for event_id, reason in ((first, "broken\nfor good"), (second, "x" * 500), (first, "another")):
        assert (await discard(shop, event_id, reason)).status_code == 204
    items = (await shop.http.get("/discards")).json()["items"]
    assert [(item["event_id"], item["partition_key"], item["reason"]) for item in items] == [
        (first, pid, "broken\nfor good"),
        (second, pid, "x" * 500),
    ]
    assert all(item.keys() == {"event_id", "partition_key", "reason", "discarded_at"} for item in items)
    assert items[0]["discarded_at"] < items[1]["discarded_at"]


async def test_an_event_that_the_log_does_not_have_can_not_be_discarded(shop: Shop) -> None:
    pid = await shop.add()
    for event_id in (f"product-{pid}@2", f"product-{UNKNOWN}@1", f"product-{pid}@999999999"):
        problem(await discard(shop, event_id, "x"), 404, "event-not-found")
    assert (await shop.http.get("/discards")).json() == {"items": []}


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"reason": ""}, "#/reason"),
        ({"reason": "x" * 501}, "#/reason"),
        ({"reason": "a\x00b"}, "#/reason"),
        ({"reason": None}, "#/reason"),
        ({"event_id": "product"}, "#/event_id"),
        ({"event_id": "product-1@0"}, "#/event_id"),
        ({"event_id": "product-1@9999999999"}, "#/event_id"),
        ({"event_id": "product-1@1\n"}, "#/event_id"),
        ({"event_id": 5}, "#/event_id"),
        ({"actor": "me"}, "#/actor"),
    ],
    ids=str,
)
async def test_a_discard_that_breaks_the_schema_is_422_at_its_place(
    shop: Shop, changed: dict[str, Any], place: str
) -> None:
    body = {"event_id": f"product-{await shop.add()}@1", "reason": "x", **changed}
    assert pointers(problem(await shop.http.post("/discards", json=body), 422, "invalid-input")) == [place]
    assert (await shop.http.get("/discards")).json() == {"items": []}


@pytest.mark.parametrize("path", ["/generations", "/discards", "/streams/versions"])
async def test_what_is_no_json_is_refused_and_changes_nothing(shop: Shop, path: str) -> None:
    problem(await shop.http.post(path, content=b"{"), 400, "not-json")
    problem(await shop.http.post(path, content=b" " * 300_000), 413, "body-too-large")
    headers = {"content-type": "text/plain"}
    problem(await shop.http.post(path, content=b"{}", headers=headers), 415, "unsupported-media-type")
    assert await generations(shop) == (1, [(1, "live")])
