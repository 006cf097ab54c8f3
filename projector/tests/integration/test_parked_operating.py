"""What operators see of parked keys and do about them: the same by the command line and over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from projector_testing.poison import Ended, mend, never_by_itself, parks, poison, record, unparks
from projector_testing.poison import projector as command_line
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, add_product, order_id, product_id
from projector_testing.trading import shop

from contracts import events, streams
from contracts.envelope import RecordedEvent
from projector import bootstrap, cli
from projector.operating import following
from projector.operating.parked import ParkedKeys, parked_keys

BAD, OTHER = product_id(1), product_id(2)
ABSENT = product_id(999)


@dataclass
class Shop:
    """A shop with one parked product, whose projector runs; nothing is tried unless someone asks for it."""

    around: World
    poison: RecordedEvent
    later: RecordedEvent
    http: httpx.AsyncClient
    keys: ParkedKeys


@asynccontextmanager
async def over_http(projector: bootstrap.Projector) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(cli.application(projector))
    async with httpx.AsyncClient(transport=transport, base_url="http://projector") as client:
        yield client


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


@pytest.fixture
async def parked(around: World) -> AsyncIterator[Shop]:
    async with around.projector() as projector, over_http(projector) as client:
        await around.ready(projector)
        bad = poison(around, BAD)
        price = events.PriceChanged(price="1.00", previous_price="2.00")
        later = around.log.add(streams.product_stream(BAD), price)
        await around.publish([bad, later])
        await parks(around, BAD)
        await never_by_itself(around, BAD)
        keys = await parked_keys(around.redis, projector.connections.feed)
        yield Shop(around, bad, later, client, keys)


async def test_the_list_says_what_waits_since_when_and_why(parked: Shop) -> None:
    listed, told, answer = await asyncio.gather(
        command_line(parked.around, "parked", "list", "--json"),
        command_line(parked.around, "parked", "list"),
        parked.http.get("/parked"),
    )
    assert answer.json()["items"] == listed.json
    [key] = listed.json
    assert (key["key"], key["kind"], key["streams"], key["more_streams"]) == (BAD, "product", 2, False)
    assert (key["event_id"], key["reason"]) == (parked.poison.id, "unknown event type 'StockTeleported'")
    assert BAD in told.output
    assert "StockTeleported" in told.output
    assert "1 key(s) parked." in told.output


async def test_the_details_show_the_events_that_wait_and_which_is_the_poison(parked: Shop) -> None:
    shown = await command_line(parked.around, "parked", "show", BAD)
    first = (await parked.http.get(f"/parked/{BAD}?limit=1")).json()
    whole = (await parked.http.get(f"/parked/{BAD}")).json()
    assert whole == shown.json
    assert whole["parked"]["event_id"] == parked.poison.id
    assert [(e["event_id"], e["type"], e["is_poison"]) for e in whole["waiting"]] == [
        (parked.poison.id, "StockTeleported", True),
        (parked.later.id, "PriceChanged", False),
    ]
    assert [e["position"] for e in whole["waiting"]] == [parked.poison.position, parked.later.position]
    assert whole["waiting"][1]["data"] == {"price": "1.00", "previous_price": "2.00"}
    assert (whole["more"], len(first["waiting"]), first["more"]) == (False, 1, True)


async def test_an_event_of_a_later_schema_version_is_shown_as_such(parked: Shop) -> None:
    added = events.StockAdded(quantity=1, available=6)
    late = parked.around.log.add(streams.inventory_stream(OTHER), added, schema_version=99)
    await parked.around.publish([late])
    await parks(parked.around, OTHER)
    whole = (await parked.http.get(f"/parked/{OTHER}")).json()
    assert whole["parked"]["reason"] == "StockAdded has schema version 99, known is 2"
    assert whole["waiting"][0]["schema_version"] == 99


async def test_an_order_is_told_from_a_product(parked: Shop) -> None:
    order = order_id(77)
    paid = events.OrderPaid(amount="1.00", reference="r")
    await parked.around.publish([parked.around.log.add(streams.order_stream(order), paid, type="Unheard")])
    await parks(parked.around, order)
    assert (await parked.http.get(f"/parked/{order}")).json()["parked"]["kind"] == "order"


async def test_a_redrive_that_fails_says_so_and_exits_with_1(parked: Shop) -> None:
    ended = await command_line(parked.around, "parked", "redrive", BAD)
    assert (ended.code, ended.errors) == (1, "")
    assert f"{BAD}: still parked at {parked.poison.id}: unknown event type" in ended.output


async def test_a_redrive_by_the_command_line_unparks_a_key_that_can_go_on(parked: Shop) -> None:
    mend(parked.around, parked.poison)
    ended = await command_line(parked.around, "parked", "redrive", BAD)
    assert (ended.code, ended.output) == (0, f"{BAD}: unparked\n")
    await parked.around.level()


async def test_a_redrive_of_all_tells_of_each_and_exits_with_1_while_any_is_parked(parked: Shop) -> None:
    around = parked.around
    other = poison(around, OTHER)
    await around.publish([other])
    await parks(around, OTHER)
    await never_by_itself(around, OTHER)
    mend(around, other)
    first = await command_line(around, "parked", "redrive")
    assert first.code == 1
    assert f"{OTHER}: unparked" in first.output
    assert f"{BAD}: still parked" in first.output
    mend(around, parked.poison)
    second = await command_line(around, "parked", "redrive")
    third = await command_line(around, "parked", "redrive")
    assert (second.code, third.code, third.output) == (0, 0, "Nothing is parked.\n")
    await around.level()


async def test_a_redrive_over_http_is_done_by_the_walk(parked: Shop) -> None:
    mend(parked.around, parked.poison)
    answer = await parked.http.post(f"/parked/{BAD}/redrive")
    assert (answer.status_code, answer.content) == (202, b"")
    await parked.around.level()


async def test_a_discard_by_the_command_line_lets_the_key_go_on_for_ever(parked: Shop) -> None:
    around = parked.around
    ended = await command_line(around, "parked", "discard", parked.poison.id, "--reason", "it teleports")
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output == f"{parked.poison.id}: discarded\n{BAD}: unparked\n"
    assert around.service.discards == {parked.poison.id: "it teleports"}
    around.log.discarded.add(parked.poison.id)
    await around.level()
    await around.redis.flushall()
    await around.level()


async def test_a_discard_over_http_lets_the_key_go_on(parked: Shop) -> None:
    wanted = {"event_id": parked.poison.id, "reason": "it teleports"}
    answer = await parked.http.post(f"/parked/{BAD}/discard", json=wanted)
    assert (answer.status_code, answer.content) == (204, b"")
    assert parked.around.service.discards == {parked.poison.id: "it teleports"}
    parked.around.log.discarded.add(parked.poison.id)
    await parked.around.level()


async def refusals(parked: Shop, event: str, key: str = BAD) -> tuple[httpx.Response, Ended]:
    """Of discarding an event, by either way."""
    answer, ended = await asyncio.gather(
        parked.http.post(f"/parked/{key}/discard", json={"event_id": event, "reason": "why not"}),
        command_line(parked.around, "parked", "discard", event, "--reason", "why not"),
    )
    assert parked.around.service.discards == {}
    return answer, ended


async def test_only_the_event_that_blocks_a_key_can_be_discarded(parked: Shop) -> None:
    for event in (parked.later.id, f"{parked.poison.stream_id}@1", f"{parked.poison.stream_id}@9999"):
        answer, ended = await refusals(parked, event)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/event-not-poisoned")
        assert parked.poison.id in answer.json()["detail"]
        assert ended.code == 2
        assert f"is parked at {parked.poison.id}, not at {event}" in ended.errors


async def test_nothing_is_discarded_of_a_key_that_is_not_parked(parked: Shop) -> None:
    event = streams.product_stream(OTHER) + "@1"
    answer, ended = await refusals(parked, event, OTHER)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/key-not-parked")
    assert (ended.code, ended.errors) == (2, f"{OTHER} is not parked.\n")
    foreign, _ = await refusals(parked, event, BAD)
    assert foreign.status_code == 409
    senseless, ended = await refusals(parked, "nonsense", BAD)
    assert (senseless.status_code, ended.code) == (409, 2)


async def test_an_event_that_the_log_does_not_have_cant_be_discarded(parked: Shop) -> None:
    found = await record(parked.around, BAD)
    assert found is not None
    forged = f"{parked.poison.stream_id}@77"
    await parked.around.redis.hset(GENERATION.parked, BAD, replace(found, event=forged).encoded)
    answer, ended = await refusals(parked, forged)
    assert (answer.status_code, ended.code) == (409, 2)
    assert "the log has no event" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event_id": "x@1"},
        {"event_id": "x@1", "reason": ""},
        {"event_id": "x@1", "reason": "r" * 501},
        {"event_id": 1, "reason": "r"},
        {"event_id": "x@1", "reason": "r", "more": 1},
        [],
        None,
    ],
)
async def test_a_discard_that_is_not_whole_is_refused(parked: Shop, body: Any) -> None:
    answer = await parked.http.post(f"/parked/{BAD}/discard", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-input")


async def test_what_is_not_parked_is_a_problem(parked: Shop) -> None:
    for method, path in (("GET", ""), ("POST", "/redrive")):
        answer = await parked.http.request(method, f"/parked/{ABSENT}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/key-not-parked")
    for arguments in (("show", ABSENT), ("redrive", ABSENT), ("show", BAD, "--generation", "7")):
        ended = await command_line(parked.around, "parked", *arguments)
        assert ended.code == 2
        assert "is not parked" in ended.errors
    assert (await parked.http.get("/parked?limit=1")).status_code == 422
    assert (await parked.http.get("/parked?generation=7")).json() == {"items": [], "next_cursor": None}


async def test_the_pages_of_the_list_hold_every_parked_key(parked: Shop) -> None:
    around = parked.around
    products = [add_product(around.log, number) for number in range(1000, 1400)]
    before = around.log.settled
    for product in products:
        poison(around, product)
    await around.publish(around.log.events[before:], packed=100)

    async def all_parked() -> bool:
        return bool(await around.redis.hlen(GENERATION.parked) == len(products) + 1)

    await eventually(all_parked, "all are parked")
    found: set[str] = set()
    cursor, pages = "0", 0
    while cursor is not None:
        page = (await parked.http.get("/parked", params={"cursor": cursor})).json()
        found |= {item["key"] for item in page["items"]}
        cursor, pages = page["next_cursor"], pages + 1
    assert found == {BAD, *products}
    assert pages > 1


async def test_the_operations_are_documented(parked: Shop) -> None:
    document = (await parked.http.get("/openapi.json")).json()
    assert {*document["paths"]} == {
        "/parked",
        "/parked/{key}",
        "/parked/{key}/redrive",
        "/parked/{key}/discard",
        "/dead-letters",
    }
    assert (await parked.http.get("/problems/event-not-poisoned")).status_code == 200
    assert (await parked.http.get("/problems/key-not-parked")).status_code == 200


async def test_without_a_projector_it_is_said_that_none_will_try(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad = poison(around, BAD)
        await around.publish([bad])
        await parks(around, BAD)
        await never_by_itself(around, BAD)
    ended = await command_line(around, "parked", "redrive", BAD)
    assert ended.code == 1
    assert "No projector is running to try" in ended.output
    # It was asked for all the same.
    mend(around, bad)
    async with around.projector():
        await unparks(around, BAD)
        await around.level()


async def test_following_ends_with_its_deadline(parked: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PAUSE", 0.001)
    told: list[str] = []
    assert await following.follow(parked.keys, [await parked.keys.find(BAD)], 0.01, told.append) == 1
    assert told == [f"Not tried yet: {BAD}. It will be, as soon as the projector comes to it."]


async def test_servers_that_are_away_are_named(around: World) -> None:
    around.service.failing = True
    ended = await command_line(around, "parked", "list")
    assert (ended.code, ended.output) == (1, "")
    assert "The command service can't be reached" in ended.errors
    projector = bootstrap.build(around.settings())
    async with over_http(projector) as client:
        answer = await client.get("/parked")
    await projector.connections.close()
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
