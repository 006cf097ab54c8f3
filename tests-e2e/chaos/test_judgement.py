"""The judges of a chaos run see what they are there for: each fact that must never be is found, nothing else."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chaos import log_check
from chaos.log import Log, Logged, Receipt
from chaos.matrix import CALM, Matrix
from chaos.proxy import Proxy
from chaos.record import Record, Sent

LINES = [{"product_id": "tea", "name": "Tea", "quantity": 2, "unit_price": "1.00"}]
PLACED = {"customer_id": "ann", "lines": LINES, "total": "2.00", "currency": "EUR", "payment_seconds": 9}


def event(position: int, stream: str, version: int, kind: str, command: str, **data: Any) -> Logged:
    return Logged(position, stream, version, stream.partition("-")[2], kind, data, command, "", "", f"tx {command}")


def receipt(command: str, problem: str | None = None) -> Receipt:
    outcome = {"token": f"t {command}", "problem": {"type": f"/problems/{problem}"} if problem else None}
    return Receipt("rejected" if problem else "succeeded", "", outcome, f"tx {command}")


def sent(command: str, event: str) -> Sent:
    return Sent(command, "", event, "kill relay", is_ok=True, token=f"t {command}")


EVENTS = [
    event(1, "product-tea", 1, "ProductAdded", "add"),
    event(2, "inventory-tea", 1, "InventoryOpened", "add", quantity=5),
    event(3, "order-1", 1, "OrderPlaced", "place", **PLACED),
    event(4, "inventory-tea", 2, "StockReserved", "place", quantity=2, order_id="1", available=3),
    event(5, "order-1", 2, "OrderPaid", "pay", amount="2.00", reference="card"),
    event(6, "stockalert-tea", 1, "StockRanLow", "alert", available=3, threshold=5, inventory_version=2),
]
ANSWERED = {"add": "ProductAdded", "place": "OrderPlaced", "pay": "OrderPaid"}


def found(events: list[Logged], **receipts: Receipt | None) -> list[str]:
    """What is found in a log of `events`, every command of the good log having been answered."""
    all_receipts = {e.command: receipt(e.command) for e in EVENTS} | receipts
    log = Log(events, {command: one for command, one in all_receipts.items() if one is not None})
    record = Record(Matrix(), sent={command: sent(command, kind) for command, kind in ANSWERED.items()})
    log_check.check(log, record, frozenset())
    return record.matrix.findings


def test_a_good_log_is_found_good() -> None:
    opened_low = [replace(e, data={**e.data, "available": 3}) for e in EVENTS]
    assert found(opened_low[:5]) == []


@pytest.mark.parametrize(
    ("events", "what"),
    [
        (EVENTS[:4], "lost during kill relay: Sent(id='pay'"),
        ([*EVENTS[:4], replace(EVENTS[4], version=3)], "version 3 at the wrong place"),
        ([*EVENTS[:5], event(6, "order-1", 2, "OrderPaid", "pay")], "several events in one stream"),
        ([*EVENTS[:3], EVENTS[4]], "ordered Counter({'tea': 2}) and reserved Counter()"),
        ([EVENTS[0], event(2, "inventory-tea", 1, "InventoryOpened", "add", quantity=1), *EVENTS[2:5]], "more than 1"),
        ([*EVENTS[:4], replace(EVENTS[4], transaction="another")], "not committed as one"),
        ([*EVENTS[:5], event(6, "inventory-tea", 3, "ReservationReleased", "x", quantity=9)], "left 5 pieces, -7"),
        ([*EVENTS[:5], event(6, "order-1", 3, "OrderCancelled", "x")], "orders wait for Counter()"),
        (EVENTS, "an alert that was not due"),
    ],
)
def test_what_is_wrong_with_a_log_is_found(events: list[Logged], what: str) -> None:
    events = [replace(e, data={"order_id": "1", "available": 3, **e.data}) for e in events]

    assert any(what in one for one in found(events))


def test_a_receipt_that_is_missing_or_says_otherwise_is_found() -> None:
    events = [replace(e, data={**e.data, "available": 3}) for e in EVENTS[:5]]

    assert any("has no receipt" in one for one in found(events, pay=None))
    assert any("its receipt says" in one for one in found(events, pay=receipt("pay", "order-not-payable")))


def test_only_what_began_and_ended_without_a_fault_has_no_excuse() -> None:
    matrix = Matrix()
    before = matrix.now
    with matrix.during("rebuild", is_excuse=False):
        assert matrix.is_calm_since(before)
        with matrix.during("crash redis"):
            during = matrix.now
            assert not matrix.is_calm_since(before)
    assert (before.name, during.name) == (CALM, "rebuild + crash redis")
    assert not matrix.is_calm_since(before)
    assert not matrix.is_calm_since(during)
    assert matrix.is_calm_since(matrix.now)


async def test_a_proxy_cuts_a_connection_in_the_middle_of_a_message() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.cut_after(len(b"half of it"))
    writer.write(b"half of it and the rest")

    assert await reader.read() == b""
    assert await got == b"half of it"

    writer.close()
    await proxy.stop()
    server.close()
    await server.wait_closed()
