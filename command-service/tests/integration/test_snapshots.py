"""Snapshots bound what is folded to load a long stream, and never change what it comes to."""

import random
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from command_service.event_store import store
from command_service.executor.batch import SNAPSHOT_EVERY
from command_service.executor.executor import MAX_BATCH
from command_service.executor.states import StateMemory, Versioned
from command_service.inventory.domain import inventory
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped

from .support import Client, Launcher, Spy, product

EVENTS = 500


class Folded:
    """Counts the events that are loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events = 0
        original = store.StoredEvent

        def counted(*arguments: Any) -> store.StoredEvent:
            self.events += 1
            return original(*arguments)

        monkeypatch.setattr(store, "StoredEvent", counted)


async def long_stream(client: Client) -> str:
    item = product()
    await client.succeed(item)
    for _ in range(2):
        await client.succeed(*(AddToInventory(product_id=item.product_id, quantity=2) for _ in range(EVENTS // 2)))
    return item.product_id


async def available(client: Client, product_id: str) -> int:
    refused = await client.send(ConfirmItemsShipped(product_id=product_id, quantity=1_000_000))
    assert refused.problem is not None
    return int(refused.problem["lines"][0]["available"])


async def test_a_long_stream_loads_only_what_follows_its_snapshot_to_the_same_state(
    launch: Launcher, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await long_stream(await launch())
    fresh = await launch()
    folded = Folded(monkeypatch)
    assert await available(fresh, pid) == 2 * EVENTS
    assert folded.events == EVENTS + 1 - await sql.fetchval("SELECT version FROM snapshots") < SNAPSHOT_EVERY
    folded.events = 0
    assert await available(fresh, pid) == 2 * EVENTS
    assert folded.events == 0


async def test_a_snapshot_of_another_form_is_not_read_and_is_replaced(
    launch: Launcher, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await long_stream(await launch())
    await sql.execute("UPDATE snapshots SET snapshot_version = 99, state = '{\"nonsense\": true}'")
    folded = Folded(monkeypatch)
    fresh = await launch()
    assert await available(fresh, pid) == 2 * EVENTS
    assert folded.events == EVENTS + 1
    await fresh.succeed(*(AddToInventory(product_id=pid, quantity=1) for _ in range(SNAPSHOT_EVERY)))
    [row] = await sql.fetch("SELECT snapshot_version, version FROM snapshots")
    assert row["snapshot_version"] == inventory.INVENTORY.snapshot_version
    assert row["version"] > EVENTS


async def test_the_log_and_not_the_snapshot_is_the_truth(launch: Launcher, sql: asyncpg.Connection) -> None:
    """Losing every snapshot loses nothing."""
    pid = await long_stream(await launch())
    await sql.execute("TRUNCATE snapshots")
    assert await available(await launch(), pid) == 2 * EVENTS


@pytest.mark.parametrize("memory", [0, 20_000])
async def test_snapshots_may_go_at_any_moment_also_while_commands_are_executed(
    launch: Launcher, sql: asyncpg.Connection, spy: Spy, memory: int
) -> None:
    client = await launch(memory=memory)
    item = product()
    await client.succeed(item)
    chance, gone = random.Random(4), 0

    async def delete(step: str, _connection: asyncpg.Connection) -> None:
        nonlocal gone
        # Not behind `append`: it has written a snapshot that nobody else can touch before the commit.
        if step != "commit" and chance.random() < 0.2:
            gone += int((await sql.execute("DELETE FROM snapshots")).split()[-1])

    spy.hook = delete
    rounds = 4 * SNAPSHOT_EVERY
    for _ in range(rounds):
        await client.succeed(AddToInventory(product_id=item.product_id, quantity=1))
    assert gone > 1
    assert await available(client, item.product_id) == rounds
    spy.hook = None
    assert await available(await launch(), item.product_id) == rounds


def test_memory_keeps_the_most_recently_used_states_and_no_more() -> None:
    memory = StateMemory(3)
    for n in range(100):
        memory.put("kept", Versioned(n, n))
        memory.put(f"s{n}", Versioned(1, n))
    assert [memory.get(name) is not None for name in ("kept", "s99", "s98", "s97")] == [True, True, True, False]
    memory.clear()
    assert memory.get("kept") is None
    assert replace(Versioned(1, 2), version=2) == Versioned(2, 2)


async def test_an_executor_remembers_no_more_states_than_it_may(launch: Launcher) -> None:
    client = await launch(memory=50)
    await client.succeed(*(product() for _ in range(MAX_BATCH)))
    assert len(client.executor._sessions[0].memory._states) == 50
