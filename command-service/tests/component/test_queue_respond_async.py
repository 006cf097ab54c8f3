"""`Prefer: respond-async` on every route: accepted at once; with `wait`, the very answer of what ends in time."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from command_service.bootstrap import ROUTES, command_reader
from command_service.envelope import Outcome
from command_service.event_store.schema import receipts
from command_service.queue import receipts as receipts_module
from contracts.topology import MAX_PARTITIONS

from .support import UNKNOWN, Shop, new_uuid, problem, succeeded

BODIES: dict[str, Any] = {
    "AddNewProduct": {"name": "x", "price": "1"},
    "UpdateProductDetails": {"description": None},
    "ChangePrice": {"price": 1.5},
    "RateProduct": {"rating": 5},
    "AddToInventory": {"quantity": 1},
    "UpdateStockFromInventoryRecount": {"counted_quantity": 1},
    "ConfirmItemsShipped": {"quantity": 1},
    "PlaceOrder": {"customer_id": "ann", "lines": [{"product_id": UNKNOWN, "quantity": 1}]},
    "ConfirmPayment": {"amount": "1", "reference": "card"},
    "ReturnItems": {"lines": [{"product_id": UNKNOWN, "quantity": 1}], "restock": False},
}
ASYNC = {"Prefer": "respond-async"}


async def test_every_command_is_accepted_as_it_was_sent(shop: Shop) -> None:
    for route in ROUTES:
        path = route.path.replace("{id}", UNKNOWN).replace("{product_id}", UNKNOWN).replace("{user_id}", "ann")
        name = route.command.__name__
        headers = {**ASYNC, "Idempotency-Key": f"a/{name}"}
        for _ in range(2):
            response = await shop.http.request(route.method, path, json=BODIES.get(name), headers=headers)
            assert (response.status_code, response.content) == (202, b""), name
            assert response.headers["location"] == f"/commands/a%2F{name}"
            assert response.headers["preference-applied"] == "respond-async"
            assert "consistency-token" not in response.headers
        receipt = (await shop.http.get(response.headers["location"])).json()
        assert (receipt["type"], receipt["status"]) == (name, "accepted")
    assert await shop.written() == (0, len(ROUTES), len(ROUTES), 0, 0)
    for row in await shop.sql.fetch("SELECT partition, message FROM outbox"):
        assert row["partition"] >= MAX_PARTITIONS
        command = command_reader().read_message(orjson.loads(row["message"]), None, datetime.now(UTC))
        known = "SELECT fingerprint FROM receipts WHERE command_id = $1"
        assert command.fingerprint == await shop.sql.fetchval(known, command.command_id)


async def test_what_is_refused_before_it_is_a_command_is_refused_at_once(shop: Shop) -> None:
    price = f"/products/{UNKNOWN}/price-changes"
    problem(await shop.http.post(price, json={"price": "-1"}, headers=ASYNC), 422, "invalid-input")
    problem(await shop.http.post(price, json={"price": "1"}, headers={**ASYNC, "If-Match": "x"}), 400, "bad-request")
    wrong_key = {**ASYNC, "Idempotency-Key": "a b"}
    problem(await shop.http.post(price, json={"price": "1"}, headers=wrong_key), 400, "bad-request")
    order = {"customer_id": "a", "lines": [{"product_id": UNKNOWN, "quantity": 1}]}
    problem(await shop.http.post("/orders", json=order, headers={**ASYNC, "If-Match": "*"}), 400, "bad-request")
    assert await shop.written() == (0, 0, 0, 0, 0)


async def test_an_id_that_was_used_for_something_else_is_refused_at_once(shop: Shop) -> None:
    pid = await shop.add()
    headers = {**ASYNC, "Idempotency-Key": "key"}
    path = f"/products/{pid}/price-changes"
    assert (await shop.http.post(path, json={"price": "2"}, headers=headers)).status_code == 202
    for more in ({}, {"Prefer": "respond-async, wait=5"}, {"If-Match": "*"}):
        price = "2" if "If-Match" in more else "3"
        response = await shop.http.post(path, json={"price": price}, headers={**headers, **more})
        problem(response, 422, "idempotency-key-reused")
    at_once = await shop.http.post(path, json={"price": "3"}, headers={"Idempotency-Key": "key"})
    problem(at_once, 422, "idempotency-key-reused")


async def test_when_the_time_is_over_the_command_is_accepted_and_the_wait_was_at_most_thirty_seconds(
    shop: Shop,
) -> None:
    for wait in ("0", "1"):
        headers = {"Prefer": f"respond-async, wait={wait}"}
        response = await shop.http.delete(f"/products/{UNKNOWN}", headers=headers)
        assert response.status_code == 202
        assert response.headers["preference-applied"] == f"respond-async, wait={wait}"
        assert response.headers["location"].startswith("/commands/")
    assert await shop.written() == (0, 2, 2, 0, 0)


async def execute_when_accepted(shop: Shop, key: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    """As a worker would: the same command, once it is known as accepted."""
    async with asyncio.timeout(30):
        while not await shop.sql.fetchval("SELECT count(*) FROM receipts WHERE command_id = $1", key):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await shop.http.post(path, json=body, headers=headers)


@pytest.mark.parametrize("status", [201, 204, 409, 412])
async def test_who_waits_has_the_very_answer_of_the_synchronous_command(shop: Shop, status: int) -> None:
    pid = await shop.add(initial_stock=1)
    price = f"/products/{pid}/price-changes"
    examples: dict[int, tuple[str, dict[str, Any], dict[str, str]]] = {
        201: ("/products", {"id": new_uuid(), "name": "x", "price": "1"}, {}),
        204: (price, {"price": "2"}, {"If-Match": '"1"'}),
        409: (f"/inventory/{pid}/shipments", {"quantity": 2}, {}),
        412: (price, {"price": "2"}, {"If-Match": '"9999999999"'}),
    }
    path, body, extra = examples[status]
    headers = {"Idempotency-Key": "key", **extra}
    waiting = {**headers, "Prefer": "respond-async, wait=30"}
    answer, _ = await asyncio.gather(
        shop.http.post(path, json=body, headers=waiting),
        execute_when_accepted(shop, "key", path, body, headers),
    )
    same = await shop.http.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.content) == (same.status_code, same.content)
    assert answer.status_code == status
    assert answer.headers["preference-applied"] == "respond-async, wait=30"
    for name in ("etag", "consistency-token", "location", "content-type"):
        assert answer.headers.get(name) == same.headers.get(name)
    # And once it has ended, whoever asks again need not wait.
    again = await shop.http.post(path, json=body, headers=waiting)
    assert (again.status_code, again.content) == (same.status_code, same.content)


async def test_if_match_is_judged_when_the_command_is_executed(shop: Shop) -> None:
    pid = await shop.add()
    path, body = f"/products/{pid}/price-changes", {"price": "2"}
    stale, right = ({"Idempotency-Key": key, "If-Match": f'"{key}"'} for key in "12")
    for headers in (stale, right):
        assert (await shop.http.post(path, json=body, headers={**headers, **ASYNC})).status_code == 202
    await shop.http.patch(f"/products/{pid}", json={"name": "Changed meanwhile"})
    problem(await shop.http.post(path, json=body, headers=stale), 412, "version-mismatch")
    succeeded(await shop.http.post(path, json=body, headers=right), 204, 3)


async def test_a_failed_command_is_a_fault_of_ours_to_who_waits_and_to_who_asks(shop: Shop) -> None:
    path, headers = f"/products/{UNKNOWN}", {**ASYNC, "Idempotency-Key": "key"}
    await shop.http.delete(path, headers=headers)
    fault = {"type": "/problems/internal-error", "title": "t", "status": 500, "detail": "d"}
    outcome = Outcome("failed", problem=fault).to_json()
    await shop.sql.execute("UPDATE receipts SET status = 'failed', outcome = $1, completed_at = now()", outcome)
    waited = await shop.http.delete(path, headers={**headers, "Prefer": "respond-async, wait=5"})
    problem(waited, 500, "internal-error")
    receipt = (await shop.http.get("/commands/key", headers={"Prefer": "wait=30"})).json()
    assert (receipt["status"], receipt["problem"]) == ("failed", fault)


async def test_what_is_accepted_is_accepted_also_when_its_end_can_not_be_looked_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_arguments: object, **_options: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(receipts_module.Receipts, "find", lost)
    response = await shop.http.delete(f"/products/{UNKNOWN}", headers={"Prefer": "respond-async, wait=0"})
    assert response.status_code == 202
    assert await shop.sql.fetchval(f"SELECT count(*) FROM {receipts.name}") == 1


async def test_without_respond_async_a_command_is_executed_at_once(shop: Shop) -> None:
    for prefer in ("wait=5", "return=minimal", "respond-async=no"):
        response = await shop.http.post("/products", json={"name": "x", "price": "1"}, headers={"Prefer": prefer})
        succeeded(response, 201, 1)
        assert "preference-applied" not in response.headers
