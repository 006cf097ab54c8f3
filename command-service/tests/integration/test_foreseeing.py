"""A command about an order locks the stock that only the order names, whenever and wherever the order came to be."""

import asyncio
from typing import Any

import asyncpg
import pytest

from command_service.decider import Command
from command_service.executor import executor as executor_module
from command_service.executor import metrics

from .order_support import cancel, paid, pay, place, send_all, ship, statuses, stock_of, stocked, take_back
from .support import Launcher, Spy


async def test_an_order_that_this_process_does_not_know_is_looked_up_first(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    one, other = await launch(), await launch()
    [tea, cup] = await stocked(one, 2)
    order = await paid(one, tea, cup, tea, quantity=2)
    assert await send_all(other, ship(order)) == ["succeeded"]
    assert [await stock_of(sql, tea), await stock_of(sql, cup)] == [(6, 0), (8, 0)]


async def test_an_order_that_was_looked_for_in_vain_is_looked_for_again(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    one, other = await launch(), await launch()
    [tea] = await stocked(one)
    order = place(tea)
    assert await send_all(other, ship(order), cancel(order)) == ["rejected", "rejected"]
    await one.succeed(order)
    assert await send_all(other, cancel(order)) == ["succeeded"]
    assert await stock_of(sql, tea) == (10, 0)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_order_that_comes_to_be_between_the_look_and_the_locks_is_foreseen_after_all(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, times: int
) -> None:
    one, other = await launch(), await launch()
    products = await stocked(one, times)
    orders = [place(product_id) for product_id in products]
    coming = list(orders)

    async def order_now(step: str, _connection: asyncpg.Connection) -> None:
        if step == "begin" and coming:
            hook, spy.hook = spy.hook, None
            await one.succeed(coming.pop(0))
            spy.hook = hook

    spy.hook = order_now
    outcomes = await asyncio.gather(*(other.send(cancel(order)) for order in orders))
    assert statuses(outcomes) == ["succeeded"] * times
    assert coming == []
    assert {await stock_of(sql, product_id) for product_id in products} == {(10, 0)}


@pytest.mark.parametrize("memory", [0, 1, 20_000])
async def test_an_order_is_placed_paid_shipped_and_cancelled_within_one_batch(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, memory: int
) -> None:
    client = await launch(memory=memory)
    [tea, cup] = await stocked(client, 2)
    shipped, cancelled = place(tea, cup, quantity=3), place(tea, quantity=2)
    before = spy.transactions
    commands: list[Command] = [shipped, pay(shipped), ship(shipped), cancelled, cancel(cancelled), ship(cancelled)]
    outcomes = await asyncio.gather(*(client.send(command) for command in commands))
    assert statuses(outcomes) == ["succeeded"] * 5 + ["rejected"]
    assert spy.transactions == before + 1
    assert [await stock_of(sql, tea), await stock_of(sql, cup)] == [(7, 0), (7, 0)]


async def test_without_any_memory_every_command_finds_its_order(launch: Launcher, sql: asyncpg.Connection) -> None:
    client = await launch(memory=0)
    [tea] = await stocked(client)
    order = place(tea, quantity=4)
    assert await send_all(client, order, pay(order), ship(order)) == ["succeeded"] * 3
    assert await stock_of(sql, tea) == (6, 0)


async def test_a_look_at_an_order_costs_one_round_trip_and_none_when_it_is_remembered(
    launch: Launcher, spy: Spy
) -> None:
    one, other = await launch(), await launch()
    [tea] = await stocked(one)
    orders = [await paid(one, tea) for _ in range(2)]

    async def round_trips(*commands: Command) -> int:
        before = spy.round_trips
        await other.succeed(*commands)
        return spy.round_trips - before

    assert await round_trips(*(ship(order) for order in orders)) == 5
    assert await round_trips(*(take_back(order) for order in orders)) == 4


async def test_an_order_of_a_thousand_products_is_placed_shipped_and_cancelled(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    products = await stocked(client, 1000)
    order = await paid(client, *products)
    [outcome] = await client.succeed(ship(order))
    assert outcome.version == 3
    assert len(outcome.token) <= 2048
    other = place(*products)
    assert await send_all(client, other, cancel(other)) == ["succeeded"] * 2
    counts = await sql.fetch(
        "SELECT type, count(*) AS n FROM events WHERE stream_id LIKE 'inventory-%' GROUP BY type ORDER BY type"
    )
    assert [(row["type"], row["n"]) for row in counts] == [
        ("InventoryOpened", 1000),
        ("ReservationReleased", 1000),
        ("ReservedItemsShipped", 1000),
        ("StockReserved", 2000),
    ]


async def test_a_batch_that_turns_out_to_lock_too_much_is_split_and_all_of_it_happens(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await launch(), await launch()
    products = await stocked(one, 10)
    orders = [await paid(one, *products) for _ in range(8)]
    monkeypatch.setattr(executor_module, "MAX_LOCKS", 30)
    locked: list[int] = []

    async def count(step: str, _connection: asyncpg.Connection) -> None:
        if step == "append":
            locked.append(
                await sql.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")
            )

    spy.hook = count
    faults = metrics.FAULTS._value.get()
    await other.succeed(*(ship(order) for order in orders))
    assert len(locked) == 4
    assert max(locked) <= 30
    assert metrics.FAULTS._value.get() == faults
    assert {await stock_of(sql, one) for one in products} == {(2, 0)}


async def test_an_order_alone_may_lock_more_than_a_batch(launch: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await launch()
    products = await stocked(client, 20)
    monkeypatch.setattr(executor_module, "MAX_LOCKS", 10)
    order = await paid(client, *products)
    await client.succeed(ship(order))


async def test_orders_of_the_same_products_in_opposite_lines_do_not_deadlock_and_none_is_oversold(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    clients = [await launch(), await launch(memory=0)]
    products = await stocked(clients[0], 12, stock=30)
    faults = metrics.FAULTS._value.get()

    async def trade(number: int) -> int:
        mine, done = products[:: 1 if number % 2 else -1], 0
        for turn in range(10):
            placing, following = clients[number // 2 % 2], clients[turn % 2]
            order = place(*mine)
            if (await placing.send(order)).problem is not None:
                continue
            done += 1
            await following.succeed(pay(order))
            await following.succeed(ship(order) if turn % 3 else cancel(order))
            done -= 0 if turn % 3 else 1
        return done

    shipped = sum(await asyncio.gather(*(trade(number) for number in range(6))))
    assert metrics.FAULTS._value.get() == faults
    assert 25 <= shipped <= 30
    assert {await stock_of(sql, one) for one in products} == {(30 - shipped, 0)}
    broken = await sql.fetch(
        "SELECT stream_id FROM events GROUP BY stream_id HAVING count(*) <> max(version) OR min(version) <> 1"
    )
    assert broken == []


async def test_of_many_who_want_the_last_pieces_of_two_products_each_gets_both_or_none(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    clients = [await launch(), await launch()]
    [tea, cup] = await stocked(clients[0], 2, stock=7)
    orders = [place(*((tea, cup) if number % 2 else (cup, tea))) for number in range(20)]
    outcomes = await asyncio.gather(*(clients[n % 2].send(order) for n, order in enumerate(orders)))
    refused: list[Any] = [outcome.problem for outcome in outcomes if outcome.problem]
    assert [problem["type"] for problem in refused] == ["/problems/insufficient-stock"] * 13
    assert [await stock_of(sql, tea), await stock_of(sql, cup)] == [(7, 7), (7, 7)]
