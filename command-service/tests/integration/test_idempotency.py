"""One id, one outcome: whatever comes twice, together or later, through whichever process, happens once."""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from command_service.bootstrap import use_cases
from command_service.catalog.domain.change_price import ChangePrice
from command_service.catalog.domain.discontinue_product import DiscontinueProduct
from command_service.database import Shop
from command_service.decider import Decision, States
from command_service.envelope import ExecutionFailed, ExpectedVersion, KeyReused, Outcome
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped

from .support import Launcher, product, version


async def test_the_same_command_again_has_the_first_outcome_and_happens_once(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    one, other = await launch(), await launch()
    item = product(initial_stock=10)
    pid = item.product_id
    await one.succeed(item)
    command = ConfirmItemsShipped(product_id=pid, quantity=3)
    first = await one.send(command, "key")
    await one.succeed(AddToInventory(product_id=pid, quantity=1))
    assert await one.send(command, "key") == first
    assert await other.send(command, "key") == first
    assert first.version == 2
    assert await sql.fetchval("SELECT count(*) FROM events WHERE type = 'ItemsShipped'") == 1


async def test_the_same_command_many_times_at_once_through_two_processes_happens_once(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    clients = [await launch(), await launch()]
    item = product(initial_stock=10)
    await clients[0].succeed(item)
    for n in range(20):
        command = AddToInventory(product_id=item.product_id, quantity=1)
        outcomes = await asyncio.gather(*(clients[i % 2].send(command, f"key-{n}") for i in range(6)))
        assert outcomes == [outcomes[0]] * 6
        assert outcomes[0].version == n + 2
    assert await sql.fetchval("SELECT count(*) FROM events WHERE type = 'StockAdded'") == 20
    assert await sql.fetchval("SELECT count(*) FROM receipts") == 21


async def test_a_product_without_an_id_gets_the_same_id_again(launch: Launcher, sql: asyncpg.Connection) -> None:
    clients = [await launch(), await launch()]
    outcomes = await asyncio.gather(*(clients[i % 2].send(product(id=None), "key") for i in range(4)))
    assert outcomes == [outcomes[0]] * 4
    assert await sql.fetchval("SELECT count(*) FROM events") == 2


@pytest.mark.parametrize(
    "other",
    [
        lambda pid: (AddToInventory(product_id=pid, quantity=2), None),
        lambda pid: (AddToInventory(product_id=pid, quantity=1, reason="x"), None),
        lambda pid: (ConfirmItemsShipped(product_id=pid, quantity=1), None),
        lambda pid: (AddToInventory(product_id=pid, quantity=1), version(1)),
        lambda pid: (AddToInventory(product_id=pid, quantity=1), ExpectedVersion(None)),
        lambda _pid: (product(), None),
    ],
    ids=["other-value", "other-member", "other-type", "other-version", "any-version", "other-target"],
)
async def test_the_same_id_with_other_content_is_refused_and_writes_nothing(
    launch: Launcher, sql: asyncpg.Connection, other: Any
) -> None:
    one, two = await launch(), await launch()
    item = product(initial_stock=10)
    await one.succeed(item)
    await one.send(AddToInventory(product_id=item.product_id, quantity=1), "key")
    written = await sql.fetchval("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM receipts)")
    command, expected = other(item.product_id)
    for client in (one, two):
        with pytest.raises(KeyReused):
            await client.send(command, "key", expected)
    assert await sql.fetchval("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM receipts)") == written


async def test_of_two_contents_under_one_id_at_once_one_wins(launch: Launcher, sql: asyncpg.Connection) -> None:
    clients = [await launch(), await launch()]
    item = product()
    await clients[0].succeed(item)
    for n in range(10):
        outcomes = await asyncio.gather(
            *(
                clients[i % 2].send(AddToInventory(product_id=item.product_id, quantity=1 + i // 2), f"key-{n}")
                for i in range(4)
            ),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        assert winners == [winners[0]] * 2
        assert sum(isinstance(outcome, KeyReused) for outcome in outcomes) == 2
    assert await sql.fetchval("SELECT count(*) FROM events WHERE type = 'StockAdded'") == 10


async def test_a_rejection_is_remembered_to_the_byte_even_when_it_would_succeed_by_now(launch: Launcher) -> None:
    one, other = await launch(), await launch()
    item = product(initial_stock=1)
    pid = item.product_id
    missing = ConfirmItemsShipped(product_id=pid, quantity=1)
    not_found = await one.send(missing, "404")
    await one.succeed(item)
    short = await one.send(ConfirmItemsShipped(product_id=pid, quantity=2), "409")
    stale = await one.send(ChangePrice(product_id=pid, price="1"), "412", version(9))
    await one.succeed(AddToInventory(product_id=pid, quantity=50))
    assert [o.problem and o.problem["status"] for o in (not_found, short, stale)] == [404, 409, 412]
    for client in (one, other):
        again = [
            await client.send(missing, "404"),
            await client.send(ConfirmItemsShipped(product_id=pid, quantity=2), "409"),
            await client.send(ChangePrice(product_id=pid, price="1"), "412", version(9)),
        ]
        assert [o.to_json() for o in again] == [o.to_json() for o in (not_found, short, stale)]


async def test_what_failed_by_a_fault_of_ours_does_not_use_its_id_up(launch: Launcher) -> None:
    known = use_cases(Shop(8, "EUR"))

    def broken(_command: ChangePrice, _states: States) -> Decision:
        raise ZeroDivisionError

    faulty = await launch({**known, ChangePrice: replace(known[ChangePrice], decide=broken)})
    item = product()
    await faulty.succeed(item)
    command = ChangePrice(product_id=item.product_id, price="1")
    with pytest.raises(ExecutionFailed):
        await faulty.send(command, "key")
    repaired = await launch()
    assert (await repaired.send(command, "key")).version == 2


async def test_if_match_is_judged_on_the_newest_state_whoever_wrote_it(launch: Launcher) -> None:
    one, other = await launch(), await launch()
    item = product()
    pid = item.product_id
    await one.succeed(item)
    assert (await one.send(ChangePrice(product_id=pid, price="1"), expected=version(1))).version == 2
    stale = await other.send(ChangePrice(product_id=pid, price="2"), expected=version(1))
    assert stale.problem is not None
    assert (stale.problem["status"], stale.problem["detail"]) == (412, "The current version is 2.")
    assert (await other.send(ChangePrice(product_id=pid, price="2"), expected=version(1, 2))).version == 3
    assert (await one.send(ChangePrice(product_id=pid, price="3"), expected=ExpectedVersion(None))).version == 4
    no_change = await one.send(ChangePrice(product_id=pid, price="3"), expected=version(3))
    assert no_change.problem is not None


async def test_of_many_who_expect_the_same_version_one_wins(launch: Launcher) -> None:
    clients = [await launch(), await launch()]
    item = product()
    await clients[0].succeed(item)
    outcomes = await asyncio.gather(
        *(
            clients[n % 2].send(ChangePrice(product_id=item.product_id, price=f"{n + 1}"), expected=version(1))
            for n in range(16)
        )
    )
    assert sorted(o.problem["status"] if o.problem else 204 for o in outcomes) == [204] + [412] * 15


async def test_404_comes_before_412_and_412_before_409(launch: Launcher) -> None:
    client = await launch()
    item = product(initial_stock=1)
    pid = item.product_id
    ship = ConfirmItemsShipped(product_id=pid, quantity=2)
    statuses = []
    for expected in (version(7), ExpectedVersion(None)):
        statuses.append((await client.send(ship, expected=expected)).problem)
    await client.succeed(item)
    for expected in (version(7), version(1)):
        statuses.append((await client.send(ship, expected=expected)).problem)
    assert [problem and problem["status"] for problem in statuses] == [404, 404, 412, 409]


async def test_a_command_that_changes_nothing_has_the_current_version_and_a_receipt(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    item = product()
    await client.succeed(item, DiscontinueProduct(product_id=item.product_id))
    again = await client.send(DiscontinueProduct(product_id=item.product_id), "again")
    assert (again.status, again.version, bool(again.token)) == ("succeeded", 2, True)
    assert await sql.fetchval("SELECT count(*) FROM receipts WHERE command_id = 'again'") == 1
    assert await sql.fetchval("SELECT count(*) FROM events") == 3
