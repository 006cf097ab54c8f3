"""Commands that are accepted now and executed later, whichever way they come."""

import asyncio
import json
from datetime import date, timedelta
from random import randrange
from typing import Any
from uuid import uuid4

import aio_pika
import httpx
import pytest

from system import System, wait_for


def submit(shop: System, *commands: dict[str, Any]) -> list[str]:
    answer = shop.command.post("/commands", json=list(commands))
    assert answer.status_code == 202, answer.text
    return [one["status_url"] for one in answer.json()["commands"]]


def end(shop: System, url: str) -> dict[str, Any]:
    """The command's receipt, once it has ended."""
    receipt: dict[str, Any] = shop.command.get(url, headers={"Prefer": "wait=30"}).json()
    assert receipt["status"] != "accepted", receipt
    return receipt


def test_queued_commands_pass_from_accepted_to_their_end_and_their_token_reads_the_result(shop: System) -> None:
    product_id = str(uuid4())
    add = {"type": "AddNewProduct", "data": {"id": product_id, "name": "Queued", "price": 12.5}}
    change = {"type": "ChangePrice", "data": {"product_id": product_id, "price": "13"}}

    added, changed = submit(shop, add, change)

    first, last = end(shop, added), end(shop, changed)
    assert (first["status"], first["type"], first["result"]) == ("succeeded", "AddNewProduct", {"id": product_id})
    assert (last["status"], last["problem"]) == ("succeeded", None)
    assert last["submitted_at"] <= last["completed_at"]
    assert shop.read(f"/products/{product_id}", last["consistency_token"]).json()["price"] == "13.00"


def test_a_rule_that_says_no_is_in_the_receipt(shop: System) -> None:
    [url] = submit(shop, {"type": "ChangePrice", "data": {"product_id": str(uuid4()), "price": "1"}})

    receipt = end(shop, url)

    assert (receipt["status"], receipt["problem"]["type"]) == ("rejected", "/problems/product-not-found")


def test_respond_async_with_wait_answers_as_the_synchronous_command_does(shop: System) -> None:
    headers = {"Prefer": "respond-async, wait=30"}
    added = shop.command.post("/products", json={"name": "Later", "price": "1", "initial_stock": 1}, headers=headers)
    assert added.status_code == 201
    assert added.headers["location"] == f"/products/{added.json()['id']}"
    assert shop.read(added.headers["location"], added.headers["consistency-token"]).status_code == 200

    shipments = f"/inventory/{added.json()['id']}/shipments"
    done = shop.command.post(shipments, json={"quantity": 1}, headers=headers)
    refused = shop.command.post(shipments, json={"quantity": 1}, headers=headers)
    assert (done.status_code, done.headers["etag"]) == (204, '"2"')
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/insufficient-stock")


def test_respond_async_alone_answers_202_with_the_commands_address(shop: System) -> None:
    accepted = shop.command.post("/products", json={"name": "Later", "price": "1"}, headers={"Prefer": "respond-async"})

    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    receipt = end(shop, accepted.headers["location"])
    assert shop.read(f"/products/{receipt['result']['id']}", receipt["consistency_token"]).status_code == 200


def test_one_invalid_command_refuses_the_whole_array(shop: System) -> None:
    good = {"type": "AddNewProduct", "data": {"name": "Good", "price": "1"}, "id": f"good-{uuid4()}"}
    bad = {"type": "AddNewProduct", "data": {"name": "Bad", "price": "-1"}}

    refused = shop.command.post("/commands", json=[good, bad, {"type": "ExpireOrder", "data": {}}])

    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["#/1/data/price", "#/2/type"]
    assert shop.command.get(f"/commands/{good['id']}").status_code == 404


@pytest.mark.own_system
def test_the_same_command_by_http_by_the_queue_and_by_the_broker_happens_once(shop: System) -> None:
    product_id = shop.add_product(initial_stock=0).json()["id"]
    key = f"once-{uuid4()}"
    body = {"quantity": 7, "reason": "delivery"}
    command = {"type": "AddToInventory", "data": {"product_id": product_id, **body}, "id": key}

    publish(shop, [command, command])
    submit(shop, command)
    sent = shop.command.post(f"/inventory/{product_id}/additions", json=body, headers={"Idempotency-Key": key})
    publish(shop, [command])

    assert sent.status_code == 204
    receipt = end(shop, f"/commands/{key}")
    assert shop.read(f"/inventory/{product_id}", receipt["consistency_token"]).json()["current_stock"] == 7
    # A later command of the same target is behind all of those in the queue.
    publish(shop, [{"type": "AddToInventory", "data": {"product_id": product_id, "quantity": 1}, "id": f"{key}-after"}])
    wait_for("the later one is known", lambda: shop.command.get(f"/commands/{key}-after").status_code == 200)
    token = end(shop, f"/commands/{key}-after")["consistency_token"]
    assert shop.read(f"/inventory/{product_id}", token).json()["current_stock"] == 8


def publish(shop: System, commands: list[dict[str, Any]] | list[bytes], **properties: Any) -> None:
    """As any program would: to the exchange of the commands, with the routing key of those who know no partitions."""

    async def send() -> None:
        connection = await aio_pika.connect(shop.environment["STOCKROOM_RABBITMQ_URL"])
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            exchange = await channel.get_exchange("stockroom.commands")
            for command in commands:
                body = command if isinstance(command, bytes) else json.dumps(command).encode()
                await exchange.publish(aio_pika.Message(body, delivery_mode=2, **properties), "in")

    asyncio.run(send())


def dead_letters(shop: System) -> list[tuple[bytes, str]]:
    """Takes what is in the dead-letter queue: body and reason."""

    async def take() -> list[tuple[bytes, str]]:
        connection = await aio_pika.connect(shop.environment["STOCKROOM_RABBITMQ_URL"])
        found = []
        async with connection:
            queue = await (await connection.channel()).declare_queue("stockroom.dead-letter", passive=True)
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                found.append((message.body, str(message.headers.get("x-stockroom-reason"))))
        return found

    return asyncio.run(take())


@pytest.mark.own_system
def test_what_is_no_command_is_answered_in_its_receipt_or_kept_with_the_reason(shop: System) -> None:
    dead_letters(shop)
    known = f"bad-{uuid4()}"
    publish(shop, [{"id": known, "type": "ChangePrice", "data": {"product_id": "no uuid", "price": "1"}}])
    publish(shop, [b"{not json", b'{"type": "Nothing", "data": {}}'])

    wait_for("its receipt", lambda: shop.command.get(f"/commands/{known}").status_code == 200)
    receipt = end(shop, f"/commands/{known}")
    assert (receipt["status"], receipt["problem"]["type"]) == ("rejected", "/problems/invalid-input")
    assert receipt["problem"]["errors"][0]["pointer"] == "#/data/product_id"

    kept: list[tuple[bytes, str]] = []
    wait_for("both dead letters", lambda: kept.extend(dead_letters(shop)) or len(kept) == 2)  # type: ignore[func-returns-value]
    assert kept[0][0] == b"{not json"
    assert "not JSON" in kept[0][1]
    assert "No such command" in kept[1][1]


@pytest.mark.own_system
def test_a_command_without_an_id_has_that_of_its_message(shop: System) -> None:
    product_id, message_id = shop.add_product(initial_stock=0).json()["id"], f"message-{uuid4()}"
    command = {"type": "AddToInventory", "data": {"product_id": product_id, "quantity": 7}}

    publish(shop, [command, command], message_id=message_id)

    wait_for("it is known", lambda: shop.command.get(f"/commands/{message_id}").status_code == 200)
    token = end(shop, f"/commands/{message_id}")["consistency_token"]
    assert shop.read(f"/inventory/{product_id}", token).json()["current_stock"] == 7


def test_the_past_comes_with_its_dates_and_prices_and_without_a_deadline(shop: System) -> None:
    # A day of its own: the system may be one on which this ran before.
    day = date(1980, 1, 1) + timedelta(days=randrange(10_000))
    product_id, order_id, at = str(uuid4()), str(uuid4()), f"{day}T12:00:00Z"
    commands = [
        {"type": "AddNewProduct", "data": {"id": product_id, "name": "Old", "price": "9", "initial_stock": 5}},
        {
            "type": "PlaceOrder",
            "data": {
                "id": order_id,
                "customer_id": "ann",
                "lines": [{"product_id": product_id, "quantity": 2, "unit_price": "7.25"}],
            },
        },
        {"type": "ConfirmPayment", "data": {"order_id": order_id, "amount": "14.50", "reference": "then"}},
    ]
    for command in commands:
        receipt = end(shop, submit(shop, {**command, "effective_at": at})[0])
        assert receipt["status"] == "succeeded", receipt

    order = shop.read(f"/orders/{order_id}", receipt["consistency_token"]).json()
    assert (order["placed_at"], order["updated_at"], order["total"]) == (*[f"{day}T12:00:00.000000Z"] * 2, "14.50")
    assert shop.query.get(f"/products/{product_id}").json()["created_at"] == f"{day}T12:00:00.000000Z"
    sales = shop.query.get("/sales/daily", params={"from": f"{day}", "to": f"{day + timedelta(1)}"}).json()["items"]
    assert [(day["orders"], day["units"], day["revenue"]) for day in sales] == [(1, 2, "14.50"), (0, 0, "0.00")]
    placed = shop.command.get(f"/streams/order-{order_id}/events").text.splitlines()[0]
    assert json.loads(placed)["data"]["payment_seconds"] is None


def test_effective_at_may_not_lie_in_the_future_and_only_the_past_states_prices(shop: System) -> None:
    line = {"product_id": str(uuid4()), "quantity": 1, "unit_price": "1"}
    order = {"type": "PlaceOrder", "data": {"customer_id": "ann", "lines": [line]}}

    def pointer(command: dict[str, Any]) -> str:
        refused: httpx.Response = shop.command.post("/commands", json=command)
        assert refused.status_code == 422
        return str(refused.json()["errors"][0]["pointer"])

    assert pointer({**order, "effective_at": "2999-01-01T00:00:00Z"}) == "#/effective_at"
    assert pointer({**order, "effective_at": "yesterday"}) == "#/effective_at"
    assert pointer(order) == "#/data/lines/0/unit_price"
