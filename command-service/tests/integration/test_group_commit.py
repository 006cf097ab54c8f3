"""Group commit: many commands share a transaction, and none of them touches another."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from command_service.bootstrap import use_cases
from command_service.catalog.domain.change_price import ChangePrice
from command_service.database import Shop
from command_service.decider import Command, Decision, States, UseCase
from command_service.envelope import ExecutionFailed
from command_service.event_store.store import NewEvent
from command_service.executor import batch
from command_service.executor.executor import MAX_BATCH
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped

from .support import Launcher, Spy, product


async def count(sql: asyncpg.Connection, table: str) -> int:
    return int(await sql.fetchval(f"SELECT count(*) FROM {table}"))


async def test_commands_that_come_together_share_transactions_of_four_round_trips(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    commands = 3 * MAX_BATCH
    await client.succeed(*(product(sku=f"S{n}") for n in range(commands)))
    assert spy.transactions <= 4
    assert spy.round_trips == 4 * spy.transactions
    assert await count(sql, "receipts") == commands
    assert await count(sql, "events") == await count(sql, "outbox") == 2 * commands


async def test_a_command_that_comes_alone_is_committed_alone_and_at_once(launch: Launcher, spy: Spy) -> None:
    client = await launch()
    for n in range(3):
        await client.succeed(product())
        assert (spy.transactions, spy.round_trips) == (n + 1, 4 * (n + 1))


async def test_a_batch_that_only_repeats_what_happened_writes_nothing(launch: Launcher, spy: Spy) -> None:
    client = await launch()
    command = product()
    first = await client.send(command, "key")
    spy.round_trips = 0
    assert await client.send(command, "key") == first
    assert spy.round_trips == 3


async def test_one_rejection_touches_no_other_command_of_its_batch(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    item = product(initial_stock=5)
    pid = item.product_id
    await client.succeed(item)
    before = spy.transactions
    outcomes = await asyncio.gather(
        client.send(ConfirmItemsShipped(product_id=pid, quantity=3)),
        client.send(ConfirmItemsShipped(product_id=pid, quantity=3)),
        client.send(AddToInventory(product_id=pid, quantity=1)),
        client.send(ConfirmItemsShipped(product_id=pid, quantity=3)),
        client.send(ConfirmItemsShipped(product_id=pid, quantity=1)),
    )
    assert spy.transactions == before + 1
    assert [outcome.status for outcome in outcomes] == ["succeeded", "rejected", "succeeded", "succeeded", "rejected"]
    assert [outcome.version for outcome in outcomes if not outcome.problem] == [2, 3, 4]
    assert outcomes[1].problem is not None
    assert outcomes[1].problem["lines"] == [{"product_id": pid, "requested": 3, "available": 2}]
    assert await count(sql, "receipts") == 6
    assert await sql.fetchval("SELECT max(version) FROM events") == 4


def cases(**replaced: Any) -> dict[type[Command], UseCase[Any]]:
    known = use_cases(Shop(8, "EUR"))
    known[ChangePrice] = replace(known[ChangePrice], **replaced)
    return known


def _broken_decide(command: ChangePrice, _states: States) -> Decision:
    raise ZeroDivisionError(command.price)


def _broken_result(command: ChangePrice) -> dict[str, Any]:
    if command.price == "13.00":
        raise ZeroDivisionError
    return {}


async def test_an_unexpected_error_while_deciding_fails_only_its_command(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch(cases(decide=_broken_decide))
    item = product()
    await client.succeed(item)
    failed, *others = await asyncio.gather(
        client.send(ChangePrice(product_id=item.product_id, price="1.00"), "key"),
        client.send(product()),
        client.send(AddToInventory(product_id=item.product_id, quantity=1)),
        return_exceptions=True,
    )
    assert isinstance(failed, ExecutionFailed)
    assert [getattr(other, "status", other) for other in others] == ["succeeded", "succeeded"]
    assert spy.transactions == 2
    assert await sql.fetchval("SELECT count(*) FROM receipts WHERE command_id = 'key'") == 0


async def test_of_a_command_that_fails_after_its_decision_nothing_is_kept(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch(cases(result=_broken_result))
    item = product()
    pid = item.product_id
    await client.succeed(item)
    outcomes = await asyncio.gather(
        client.send(ChangePrice(product_id=pid, price="12")),
        client.send(ChangePrice(product_id=pid, price="13"), "key"),
        client.send(ChangePrice(product_id=pid, price="14")),
        return_exceptions=True,
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Outcome", "ExecutionFailed", "Outcome"]
    rows = await sql.fetch("SELECT version, data FROM events WHERE stream_id = $1 ORDER BY version", f"product-{pid}")
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert '"previous_price":"12.00"' in rows[2]["data"]
    assert await sql.fetchval("SELECT count(*) FROM receipts WHERE command_id = 'key'") == 0


@pytest.mark.parametrize(
    "poison", [{"data": "{"}, {"data": '"\x00"'}, {"version": 2**31}, {"partition_key": "\ud800"}], ids=str
)
async def test_a_command_that_can_not_be_written_is_singled_out_and_fails_alone(
    launch: Launcher, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, poison: dict[str, Any]
) -> None:
    def poisoned(*arguments: Any) -> NewEvent:
        event = NewEvent(*arguments)
        return event._replace(**poison) if "poison" in event.data else event

    client = await launch()
    commands = [product(name="poison" if n == 11 else "Chai") for n in range(32)]
    monkeypatch.setattr(batch, "NewEvent", poisoned)
    outcomes = await asyncio.gather(*(client.send(command) for command in commands), return_exceptions=True)
    failed = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ExecutionFailed)]
    succeeded = [n for n, outcome in enumerate(outcomes) if getattr(outcome, "status", None) == "succeeded"]
    assert (failed, len(succeeded)) == ([11], 31)
    assert await count(sql, "receipts") == 31
    assert await count(sql, "events") == 62


async def test_a_batch_may_bring_one_stream_over_several_snapshots(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    item = product()
    await client.succeed(item)
    before = spy.transactions
    await client.succeed(*(AddToInventory(product_id=item.product_id, quantity=1) for _ in range(MAX_BATCH)))
    assert spy.transactions <= before + 2
    [snapshot] = await sql.fetch("SELECT version, state FROM snapshots")
    assert snapshot["version"] == (1 + MAX_BATCH) // batch.SNAPSHOT_EVERY * batch.SNAPSHOT_EVERY
    assert snapshot["state"] == f'{{"on_hand": {snapshot["version"] - 1}, "reserved": 0}}'


async def test_every_event_leaves_with_its_command_and_its_position(launch: Launcher, sql: asyncpg.Connection) -> None:
    client = await launch()
    await client.succeed(product(), product())
    rows = await sql.fetch("SELECT position, metadata::jsonb ->> 'command_id' AS id FROM events ORDER BY position")
    sent = await sql.fetch(
        "SELECT (message::json ->> 'sequence')::int AS position, message::json ->> 'commandid' FROM outbox ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [tuple(row) for row in sent]
    assert {row["id"] for row in rows} == {r["command_id"] for r in await sql.fetch("SELECT command_id FROM receipts")}
