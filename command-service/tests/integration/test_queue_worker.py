"""The worker: what comes by the queue happens once, in its order, and is acknowledged when it has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import orjson
import pytest

from command_service.bootstrap import lane_of_messages
from command_service.database import Shop, make_engine
from command_service.envelope import CommandEnvelope, ExecutionFailed, Outcome
from command_service.mediator import Behaviour, Next
from command_service.queue import executing
from command_service.queue.broker import command_queues
from command_service.queue.operating import redrive
from command_service.settings import CommandSettings
from contracts.topology import MAX_EVENTS_PER_MESSAGE, CommandQueue, partition_of

from .order_support import acceptor, add, body, receipts, stock_of, stocked
from .relay_support import relaying
from .support import PARTITIONS, Launcher, until
from .worker_support import Broker, broker_of, consuming, until_ended, working


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[Broker]:
    async with broker_of(rabbitmq_url) as broker:
        yield broker


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "LONGEST_PAUSE", 0.05)


async def executed_in_order(sql: asyncpg.Connection, product_id: str) -> list[str]:
    """The ids of the commands that changed a product's stock, in their order."""
    rows = await sql.fetch(
        "SELECT metadata ->> 'command_id' AS id FROM events WHERE stream_id = $1 AND version > 1 ORDER BY version",
        f"inventory-{product_id}",
    )
    return [row["id"] for row in rows]


async def test_what_is_accepted_is_published_by_the_relay_and_executed_in_its_order(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, shop_url: str, rabbitmq_url: str
) -> None:
    accepting, executing_ = await launch(), await launch()
    products = await stocked(accepting, 3)
    commands = [add(products[n % 3], 1, f"key-{n}") for n in range(600)]
    # Accepted while there is neither a broker nor anybody who executes.
    for first in range(0, 600, 200):
        await acceptor(accepting).accept(commands[first : first + 200])
    assert set((await receipts(sql)).values()) == {"succeeded", "accepted"}
    async with relaying(shop_url, rabbitmq_url), working(settings, executing_, rabbitmq_url):
        await until_ended(sql, [one.command_id for one in commands])
    for number, product_id in enumerate(products):
        assert await executed_in_order(sql, product_id) == [f"key-{n}" for n in range(number, 600, 3)]
        assert await stock_of(sql, product_id) == (210, 0)


async def test_what_a_dead_worker_had_executed_and_not_acknowledged_happens_once(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, broker: Broker, rabbitmq_url: str
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    commands = [add(tea, n, f"key-{n}") for n in range(1, 9)]
    executed = asyncio.Event()

    async def hang_after(envelope: CommandEnvelope, following: Next) -> Outcome:
        await following(envelope)
        executed.set()
        await asyncio.Event().wait()
        raise AssertionError

    partition = partition_of(tea, PARTITIONS)
    async with working(settings, client, rabbitmq_url, hang_after) as dying:
        await consuming(dying)
        await broker.publish(body(*commands[:4]), body(*commands[4:]), key=str(partition))
        async with asyncio.timeout(60):
            await executed.wait()
        await dying.kill()
    async with working(settings, await launch(), rabbitmq_url) as living:
        await until_ended(sql, [one.command_id for one in commands])

        async def all_came_again() -> bool:
            return len(living.executed) == 8

        await until(all_came_again)
    assert await stock_of(sql, tea) == (46, 0)
    assert await executed_in_order(sql, tea) == [f"key-{n}" for n in range(1, 9)]


async def test_two_workers_share_the_queues_and_each_command_happens_once(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, broker: Broker, rabbitmq_url: str
) -> None:
    clients = [await launch(), await launch()]
    products = await stocked(clients[0], 8)
    commands = [add(products[n % 8], 1, f"key-{n}") for n in range(160)]
    async with working(settings, clients[0], rabbitmq_url), working(settings, clients[1], rabbitmq_url):
        # Everything twice: directly to the partitions and to those who partition.
        for start in range(0, 160, 16):
            await broker.publish(body(*commands[start : start + 16]), *(body(one) for one in commands[start:][:16]))
        await until_ended(sql, [one.command_id for one in commands])
    assert {await stock_of(sql, one) for one in products} == {(30, 0)}


async def test_the_partitioner_keeps_the_order_of_each_target_and_packs(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, broker: Broker, rabbitmq_url: str
) -> None:
    client = await launch()
    products = await stocked(client, 4)
    commands = [add(products[n % 4], 1, f"key-{n}") for n in range(480)]
    heard = await broker.channel.declare_queue("heard", exclusive=True)
    for partition in range(PARTITIONS):
        await heard.bind("stockroom.commands", str(partition))
    await broker.publish(body(*commands[:470]), *(body(one) for one in commands[470:]))
    async with working(settings, client, rabbitmq_url):
        await until_ended(sql, [one.command_id for one in commands])
    for number, product_id in enumerate(products):
        assert await executed_in_order(sql, product_id) == [f"key-{n}" for n in range(number, 480, 4)]
    sizes = []
    while (message := await heard.get(fail=False, no_ack=True)) is not None:
        assert message.content_type == "application/json"
        sizes.append(len(orjson.loads(message.body)))
    assert sum(sizes) == 480
    assert max(sizes) <= MAX_EVENTS_PER_MESSAGE
    assert len(sizes) < 60


async def test_an_id_that_was_used_for_something_else_is_a_dead_letter_and_the_rest_goes_on(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, broker: Broker, rabbitmq_url: str
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await client.executor.execute(add(tea, 1, "used"))
    reused = add(tea, 100, "used")
    async with working(settings, client, rabbitmq_url):
        await broker.publish(body(add(tea, 2, "before"), reused, add(tea, 3, "behind")))
        [(kept, reason)] = await broker.dead_letters(1)
        await until_ended(sql, ["used", "before", "behind"])
    assert orjson.loads(kept)["data"] == {"product_id": tea, "quantity": 100}
    assert "another content" in reason
    assert await stock_of(sql, tea) == (16, 0)


POISON: dict[str, Callable[[str], bytes]] = {
    "beyond 64 bits": lambda key: b'{"id":"%b","type":"ChangePrice","data":{"price":%b}}' % (key.encode(), b"9" * 40),
    "NUL in the type": lambda key: b'{"id":"%b","type":"a\\u0000b","data":{}}' % key.encode(),
    "NUL in a name": lambda key: b'{"id":"%b","type":"ChangePrice","data":{"\\u0000":1}}' % key.encode(),
    "deep": lambda key: b'{"id":"%b","type":"x","data":{"a":%b1%b}}' % (key.encode(), b"[" * 150, b"]" * 150),
}


@pytest.mark.parametrize("key", ["in", "0"])
async def test_nothing_that_a_stranger_publishes_stops_a_queue(
    settings: CommandSettings,
    launch: Launcher,
    sql: asyncpg.Connection,
    broker: Broker,
    rabbitmq_url: str,
    key: str,
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    async with working(settings, client, rabbitmq_url) as worker:
        for number, poison in enumerate(POISON.values()):
            await broker.publish(poison(f"poison-{number}"), poison(""), poison("a b"), key=key)
        await broker.publish(b"", b"{", b"null", b"[]", key=key)
        await broker.publish(body(add(tea, 1, "behind")), key=key)
        await until_ended(sql, ["behind"])
        assert len(await broker.dead_letters(12)) == 12
        assert not worker.task.done()
    known = await receipts(sql)
    assert {known[f"poison-{number}"] for number in range(len(POISON))} == {"rejected"}


async def test_what_is_no_command_does_not_end_the_accepted_one_whose_id_it_bears(
    settings: CommandSettings,
    launch: Launcher,
    sql: asyncpg.Connection,
    broker: Broker,
    shop_url: str,
    rabbitmq_url: str,
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await acceptor(client).accept([add(tea, 5, "key")])
    async with working(settings, client, rabbitmq_url):
        await broker.publish(b'{"id": "key", "type": "AddToInventory", "data": {"quantity": 1}}')
        [(_, reason)] = await broker.dead_letters(1)
        assert "product_id" in reason
        async with relaying(shop_url, rabbitmq_url):
            await until_ended(sql, ["key"])
    assert await stock_of(sql, tea) == (15, 0)


def failing(is_broken: Callable[[CommandEnvelope], bool], attempts: list[str]) -> Behaviour:
    """Where `is_broken` says so, a fault of ours."""

    async def fail(envelope: CommandEnvelope, following: Next) -> Outcome:
        if is_broken(envelope):
            attempts.append(envelope.command_id)
            raise ExecutionFailed("broken")
        return await following(envelope)

    return fail


async def test_what_a_fault_of_ours_stops_is_kept_and_succeeds_when_it_is_redriven_after_the_repair(
    settings: CommandSettings, launch: Launcher, sql: asyncpg.Connection, shop_url: str, rabbitmq_url: str
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    broken, attempts = {"key-1", "key-2"}, list[str]()
    commands = [add(tea, n, f"key-{n}") for n in range(4)[1:]]
    engine = make_engine(settings)
    lane_of = lane_of_messages(Shop(PARTITIONS, "EUR"))
    fault = failing(lambda envelope: envelope.command_id in broken, attempts)
    async with relaying(shop_url, rabbitmq_url), working(settings, client, rabbitmq_url, fault):
        await acceptor(client).accept(commands)
        await until_ended(sql, ["key-1", "key-2"], "failed")
        await until_ended(sql, ["key-3"])
        assert (attempts.count("key-1"), attempts.count("key-2")) == (executing.ATTEMPTS, executing.ATTEMPTS)
        assert await stock_of(sql, tea) == (13, 0)
        broken.discard("key-1")
        assert await redrive(engine, None, lane_of) == 0
        await until_ended(sql, ["key-1"])
        await until_ended(sql, ["key-2"], "failed")
        broken.clear()
        assert await redrive(engine, ["key-2"], lane_of) == 0
        await until_ended(sql, ["key-2"])
    await engine.dispose()
    assert await stock_of(sql, tea) == (16, 0)
    problem: Any = await sql.fetchval("SELECT outcome -> 'problem' FROM receipts WHERE command_id = 'key-2'")
    assert problem == "null"


async def test_there_is_one_queue_for_each_partition_and_one_for_those_who_know_none() -> None:
    names = [queue.name for queue in command_queues(PARTITIONS)]
    assert names == [*(CommandQueue(str(n)).name for n in range(PARTITIONS)), CommandQueue("in").name]
