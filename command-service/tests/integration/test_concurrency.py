"""Several processes at once on one shop: nothing is lost, forked, oversold or taken twice, and nothing deadlocks."""

import asyncio
import random

import asyncpg

from command_service.catalog.domain.change_price import ChangePrice
from command_service.event_store.locks import lock_key, merge
from command_service.event_store.store import BatchTransaction
from command_service.executor import metrics
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.ratings.domain.rate_product import RateProduct

from .support import Client, Launcher, product, until


async def assert_gapless(sql: asyncpg.Connection) -> None:
    broken = await sql.fetch(
        "SELECT stream_id FROM events GROUP BY stream_id HAVING count(*) <> max(version) OR min(version) <> 1"
    )
    assert broken == []


async def test_a_sku_has_one_owner_whoever_asks_at_once(launch: Launcher, sql: asyncpg.Connection) -> None:
    clients = [await launch(), await launch()]
    for n in range(10):
        outcomes = await asyncio.gather(*(clients[i % 2].send(product(sku=f"SKU {n}")) for i in range(8)))
        refused = [outcome.problem for outcome in outcomes if outcome.problem]
        assert [problem["type"] for problem in refused] == ["/problems/sku-taken"] * 7
    assert await sql.fetchval("SELECT count(*) FROM claims") == 10
    assert await sql.fetchval("SELECT count(*) FROM events WHERE type = 'ProductAdded'") == 10


async def test_an_id_has_one_product_whoever_asks_at_once(launch: Launcher, sql: asyncpg.Connection) -> None:
    clients = [await launch(), await launch()]
    for _ in range(10):
        item = product()
        outcomes = await asyncio.gather(*(clients[i % 2].send(item) for i in range(4)))
        assert sorted(outcome.status for outcome in outcomes) == ["rejected"] * 3 + ["succeeded"]
    await assert_gapless(sql)


async def test_eight_clients_change_one_stock_through_two_processes(launch: Launcher, sql: asyncpg.Connection) -> None:
    clients = [await launch(), await launch()]
    item = product(initial_stock=20)
    pid = item.product_id
    await clients[0].succeed(item)

    async def work(number: int) -> tuple[int, list[int]]:
        chance = random.Random(number)
        client, change, versions = clients[number % 2], 0, []
        for _ in range(40):
            quantity = chance.randint(1, 9)
            ships = chance.random() < 0.6
            outcome = await client.send(
                (ConfirmItemsShipped if ships else AddToInventory)(product_id=pid, quantity=quantity)
            )
            if outcome.problem is None:
                change += -quantity if ships else quantity
                versions.append(outcome.version)
            else:
                assert (ships, outcome.problem["status"]) == (True, 409)
        return change, versions

    results = await asyncio.gather(*(work(number) for number in range(8)))
    rows = await sql.fetch("SELECT type, data FROM events WHERE stream_id = $1 ORDER BY version", f"inventory-{pid}")
    on_hand, lowest = 0, 0
    for row in rows:
        quantity = int(row["data"].split('"quantity":')[1].split(",")[0].rstrip("}"))
        on_hand += -quantity if row["type"] == "ItemsShipped" else quantity
        lowest = min(lowest, on_hand)
    assert on_hand == 20 + sum(change for change, _ in results)
    assert lowest == 0
    assert sorted(v for _, versions in results for v in versions) == list(range(2, len(rows) + 1))
    assert all(versions == sorted(versions) for _, versions in results)
    await assert_gapless(sql)


async def test_batches_that_want_the_same_streams_in_opposite_orders_do_not_deadlock(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    one, other = await launch(), await launch()
    items = [product() for _ in range(60)]
    await one.succeed(*items)
    faults = metrics.FAULTS._value.get()

    async def change(client: Client, order: list[int], price: int) -> None:
        for turn in range(8):
            await client.succeed(
                *(ChangePrice(product_id=items[n].product_id, price=f"{price + turn}") for n in order),
                *(RateProduct(product_id=items[n].product_id, user_id="ann", rating=turn % 5 + 1) for n in order),
            )

    await asyncio.gather(
        change(one, list(range(60)), 100),
        change(other, list(range(59, -1, -1)), 200),
        change(one, list(range(59, -1, -1)), 300),
    )
    assert metrics.FAULTS._value.get() == faults
    await assert_gapless(sql)


async def test_locks_are_taken_in_one_order_however_they_are_asked_for(shop_url: str, sql: asyncpg.Connection) -> None:
    """Both would hold one lock and wait for the other's, if each took them as they come."""
    names = [f"stream:{n}" for n in range(3)]
    await sql.execute("SELECT pg_advisory_lock($1, $2)", *lock_key(names[1]))

    async def take(order: list[str]) -> None:
        connection = await asyncpg.connect(shop_url)
        try:
            await BatchTransaction(connection).begin(merge(order, []))
            await connection.execute("COMMIT")
        finally:
            connection.terminate()

    async def both_wait() -> bool:
        return bool(await sql.fetchval("SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

    taking = [asyncio.create_task(take(order)) for order in (names, names[::-1])]
    await until(both_wait)
    await sql.execute("SELECT pg_advisory_unlock_all()")
    await asyncio.gather(*taking)


async def test_a_lock_asked_for_both_ways_is_exclusive() -> None:
    assert merge(["a", "b"], ["b", "c"]) == {lock_key("a"): True, lock_key("b"): True, lock_key("c"): False}


async def test_what_another_process_wrote_is_seen_at_once(launch: Launcher) -> None:
    one, other = await launch(), await launch()
    item = product()
    await one.succeed(item)
    for turn in range(1, 11):
        for client in (one, other):
            [outcome] = await client.succeed(AddToInventory(product_id=item.product_id, quantity=turn))
        assert outcome.version == 2 * turn + 1
    [outcome] = await other.succeed(ConfirmItemsShipped(product_id=item.product_id, quantity=110))
    refused = await one.send(ConfirmItemsShipped(product_id=item.product_id, quantity=1))
    assert refused.problem is not None


async def test_without_any_memory_the_answers_are_the_same(launch: Launcher) -> None:
    client = await launch(memory=0)
    item = product()
    await client.succeed(item)
    for turn in range(5):
        [outcome] = await client.succeed(AddToInventory(product_id=item.product_id, quantity=1))
        assert outcome.version == turn + 2
