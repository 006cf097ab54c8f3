"""`POST /commands`: all are accepted, or none; durable before the answer, and executed by somebody else."""

import json
from typing import Any

from command_service.queue import api as queue_api
from contracts.topology import MAX_PARTITIONS

from .support import UNKNOWN, Shop, new_uuid, pointers, problem


def change(product_id: str = UNKNOWN, price: Any = "1", **more: Any) -> dict[str, Any]:
    return {"type": "ChangePrice", "data": {"product_id": product_id, "price": price}, **more}


async def queued(shop: Shop) -> list[str]:
    """The ids of the commands that wait to be published, in their order."""
    rows = await shop.sql.fetch(
        "SELECT message::json ->> 'id' AS id FROM outbox WHERE partition >= $1 ORDER BY seq", MAX_PARTITIONS
    )
    return [row["id"] for row in rows]


async def test_a_single_command_is_accepted_with_its_address(shop: Shop) -> None:
    response = await shop.http.post("/commands", json=change(id="a/b"))
    assert response.status_code == 202
    assert response.json() == {"commands": [{"id": "a/b", "status_url": "/commands/a%2Fb"}]}
    assert await queued(shop) == ["a/b"]


async def test_without_an_id_the_server_makes_one_for_each(shop: Shop) -> None:
    response = await shop.http.post("/commands", json=[change(), change()])
    commands = response.json()["commands"]
    assert [one["status_url"] for one in commands] == [f"/commands/{one['id']}" for one in commands]
    assert await queued(shop) == [one["id"] for one in commands]
    assert len({one["id"] for one in commands}) == 2


async def test_a_thousand_commands_are_accepted_in_their_order_and_one_more_refuses_all(shop: Shop) -> None:
    commands = [change(id=f"key-{n}") for n in range(1001)]
    refused = await shop.http.post("/commands", json=commands)
    assert pointers(problem(refused, 422, "invalid-input")) == ["#"]
    assert await shop.written() == (0, 0, 0, 0, 0)
    response = await shop.http.post("/commands", json=commands[:1000])
    assert [one["id"] for one in response.json()["commands"]] == [f"key-{n}" for n in range(1000)]
    assert await queued(shop) == [f"key-{n}" for n in range(1000)]


async def test_what_is_no_command_and_no_array_of_them_is_refused(shop: Shop) -> None:
    for content in (b"", b"null", b"[]", b'"x"', b"5", b"true"):
        response = await shop.http.post("/commands", content=content)
        assert pointers(problem(response, 422, "invalid-input")) == ["#"]
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_what_can_not_be_read_is_refused(shop: Shop) -> None:
    for content in (b"{", b'[{"type": NaN}]', b'{"type": "a", "type": "b"}', b"[" * 100_000):
        problem(await shop.http.post("/commands", content=content), 400, "not-json")
    problem(await shop.http.post("/commands", content=b'{"type": "\\ud800"}'), 422, "invalid-input")
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_four_mebibytes_are_taken_and_a_byte_more_is_not(shop: Shop) -> None:
    whole = json.dumps([change(id=f"key-{n}") for n in range(1000)]).encode()
    padding = b" " * (queue_api.MAX_BODY - len(whole))
    assert len(whole + padding) == 4 * 1024 * 1024
    problem(await shop.http.post("/commands", content=whole + padding + b" "), 413, "body-too-large")
    assert await shop.written() == (0, 0, 0, 0, 0)
    assert (await shop.http.post("/commands", content=whole + padding)).status_code == 202


async def test_one_that_is_not_valid_refuses_the_whole_array_and_each_fault_has_its_place(shop: Shop) -> None:
    commands: list[Any] = [change() for _ in range(20)]
    commands[17] = change(price="-1", expected_version="x")
    commands[18] = {"type": "Nothing", "data": {}}
    commands[19] = 5
    response = await shop.http.post("/commands", json=commands)
    assert pointers(problem(response, 422, "invalid-input")) == ["#/17/expected_version", "#/18/type", "#/19"]
    commands[17] = change(price="-1")
    response = await shop.http.post("/commands", json=commands)
    assert pointers(problem(response, 422, "invalid-input")) == ["#/17/data/price", "#/18/type", "#/19"]
    assert await shop.written() == (0, 0, 0, 0, 0)
    single = await shop.http.post("/commands", json=change(price="-1"))
    assert pointers(problem(single, 422, "invalid-input")) == ["#/data/price"]


async def test_of_very_many_faults_some_are_named(shop: Shop) -> None:
    response = await shop.http.post("/commands", json=[{"type": "x"}] * 1000)
    assert len(pointers(problem(response, 422, "invalid-input"))) == 20


async def test_an_id_that_was_used_refuses_the_whole_array_and_is_named(shop: Shop) -> None:
    pid = await shop.add()
    await shop.http.post(f"/products/{pid}/price-changes", json={"price": "2"}, headers={"Idempotency-Key": "sent"})
    await shop.http.post("/commands", json=change(pid, "3", id="queued"))
    before = await shop.written()
    for reused in (change(pid, "4", id="sent"), change(pid, "4", id="queued"), change(pid, "5", id="twice")):
        array = [change(pid, "4", id="twice"), change(pid, "4"), reused, change(pid, "4")]
        response = await shop.http.post("/commands", json=array)
        assert pointers(problem(response, 422, "idempotency-key-reused")) == ["#/2/id"]
    single = await shop.http.post("/commands", json=change(pid, "4", id="sent"))
    assert pointers(problem(single, 422, "idempotency-key-reused")) == ["#/id"]
    assert await shop.written() == before


async def test_the_same_commands_again_are_accepted_again_and_queued_once(shop: Shop) -> None:
    array = [change(id="a"), change(price="2", id="b"), change(id="a")]
    first, again = [await shop.http.post("/commands", json=array) for _ in range(2)]
    assert first.json() == again.json()
    assert [one["id"] for one in first.json()["commands"]] == ["a", "b", "a"]
    assert await queued(shop) == ["a", "b"]


async def test_the_idempotency_key_is_the_id_of_a_single_command_that_has_none(shop: Shop) -> None:
    headers = {"Idempotency-Key": "key"}
    for document in (change(), change(id="key"), change(id=None)):
        response = await shop.http.post("/commands", json=document, headers=headers)
        assert response.json()["commands"][0]["id"] == "key"
    assert await queued(shop) == ["key"]
    other = await shop.http.post("/commands", json=change(price="2"), headers=headers)
    assert pointers(problem(other, 422, "idempotency-key-reused")) == ["#/id"]


async def test_an_idempotency_key_that_is_none_or_that_says_otherwise_is_400(shop: Shop) -> None:
    for document, key in ((change(id="other"), "key"), ([change()], "key"), (change(), "a b"), (change(), "x" * 129)):
        response = await shop.http.post("/commands", json=document, headers={"Idempotency-Key": key})
        assert pointers(problem(response, 400, "bad-request")) == ["Idempotency-Key"]
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_internal_commands_can_not_be_submitted(shop: Shop) -> None:
    for command_type, data in (
        ("ExpireOrder", {"order_id": UNKNOWN}),
        ("PlacePastOrder", {"customer_id": "a", "lines": [{"product_id": UNKNOWN, "quantity": 1}]}),
        ("RecordStockAlert", {"product_id": UNKNOWN}),
    ):
        response = await shop.http.post("/commands", json={"type": command_type, "data": data})
        assert pointers(problem(response, 422, "invalid-input")) == ["#/type"]


async def test_what_was_accepted_is_shown_as_it_is_and_nothing_happened_yet(shop: Shop) -> None:
    pid = await shop.add()
    await shop.http.post("/commands", json=change(pid, "99", id="key"))
    receipt = (await shop.http.get("/commands/key")).json()
    assert receipt.pop("submitted_at").endswith("Z")
    assert receipt == {
        "id": "key",
        "type": "ChangePrice",
        "status": "accepted",
        "completed_at": None,
        "result": None,
        "problem": None,
        "consistency_token": None,
    }
    assert len(await shop.events(f"product-{pid}")) == 1


async def test_a_command_that_was_sent_at_once_is_known_as_well(shop: Shop) -> None:
    product_id = new_uuid()
    added = await shop.http.post(
        "/products", json={"id": product_id, "name": "x", "price": "1"}, headers={"Idempotency-Key": "added"}
    )
    refused = await shop.http.post(
        f"/inventory/{product_id}/shipments", json={"quantity": 1}, headers={"Idempotency-Key": "refused"}
    )
    receipt = (await shop.http.get("/commands/added")).json()
    assert (receipt["status"], receipt["type"], receipt["result"]) == ("succeeded", "AddNewProduct", {"id": product_id})
    assert receipt["consistency_token"] == added.headers["consistency-token"]
    assert receipt["submitted_at"] <= receipt["completed_at"]
    receipt = (await shop.http.get("/commands/refused")).json()
    assert (receipt["status"], receipt["problem"], receipt["consistency_token"]) == ("rejected", refused.json(), None)


async def test_what_was_never_known_is_404_at_once_also_for_who_would_wait(shop: Shop) -> None:
    response = await shop.http.get("/commands/unknown", headers={"Prefer": "wait=30"})
    problem(response, 404, "command-not-found")


ODD = ["a/b", "a?b#c", "%2F", "a%", "\"'<>\\", "a,b", "a;b=c", "!$&()*+:@~", "x" * 128, "{id}", "a/../b"]


async def test_whatever_characters_an_id_has_its_address_leads_to_it(shop: Shop) -> None:
    response = await shop.http.post("/commands", json=[change(id=key) for key in ODD])
    for key, command in zip(ODD, response.json()["commands"], strict=True):
        receipt = await shop.http.get(command["status_url"])
        assert (receipt.status_code, receipt.json().get("id")) == (200, key)


async def test_what_can_be_no_id_is_422(shop: Shop) -> None:
    for path in ("%20", "%C3%A9", "%00", "x" * 129):
        assert pointers(problem(await shop.http.get(f"/commands/{path}"), 422, "invalid-input")) == ["id"]


async def test_several_are_shown_in_the_order_asked_for_without_those_unknown(shop: Shop) -> None:
    await shop.http.post("/commands", json=[change(id=one) for one in ("a", "b&c", "d")])
    response = await shop.http.get("/commands", params={"ids": "d,unknown,a,d,b&c"})
    assert [item["id"] for item in response.json()["items"]] == ["d", "a", "b&c"]


async def test_ids_that_are_none_or_too_many_are_422(shop: Shop) -> None:
    assert pointers(problem(await shop.http.get("/commands"), 422, "invalid-input")) == ["ids"]
    for ids in ("", "a,", "a b", "é", ",".join(map(str, range(101)))):
        response = await shop.http.get("/commands", params={"ids": ids})
        assert pointers(problem(response, 422, "invalid-input")) == ["ids"]


async def test_who_prefers_to_wait_is_answered_when_the_last_has_ended(shop: Shop) -> None:
    pid = await shop.add()
    headers = {"Idempotency-Key": "b"}
    await shop.http.post("/commands", json=[change(pid, "2", id="a"), change(pid, "3", id="b")])
    elapsed = await shop.http.get("/commands/a", headers={"Prefer": "wait=0"})
    assert elapsed.json()["status"] == "accepted"
    # The same command, sent at once: it is executed now, and the one in the queue will find it done.
    await shop.http.post(f"/products/{pid}/price-changes", json={"price": "3"}, headers=headers)
    ended = await shop.http.get("/commands/b", headers={"Prefer": "wait=30"})
    assert ended.json()["status"] == "succeeded"
    both = await shop.http.get("/commands", params={"ids": "a,b"}, headers={"Prefer": "wait=1"})
    assert [item["status"] for item in both.json()["items"]] == ["accepted", "succeeded"]
