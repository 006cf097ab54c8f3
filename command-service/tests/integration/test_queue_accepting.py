"""Accepted for later: all of them or none, each once, with its place in the outbox, in the commit that says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import orjson
import pytest

from command_service.bootstrap import command_reader
from command_service.database import make_engine
from command_service.envelope import ExecutionFailed, KeyReused, Unavailable
from command_service.outbox import metrics
from command_service.outbox.housekeeping import Housekeeping
from command_service.outbox.lanes import command_lane
from command_service.settings import CommandSettings
from contracts.topology import partition_of

from .order_support import acceptor, add, body, queued, receipts, stock_of, stocked
from .support import PARTITIONS, Launcher, Spy


async def outbox(sql: asyncpg.Connection) -> list[tuple[int, str]]:
    """(lane, command id) of the commands that wait to be published."""
    rows = await sql.fetch("SELECT partition, message FROM outbox WHERE partition >= $1 ORDER BY seq", command_lane(0))
    return [(row["partition"], orjson.loads(row["message"])["id"]) for row in rows]


async def test_what_is_accepted_has_a_receipt_without_an_end_and_waits_in_the_lane_of_its_target(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    products = await stocked(client, 3)
    targets = [*products, *products[::-1]]
    commands = [add(product_id, 1, f"key-{n}") for n, product_id in enumerate(targets)]
    rate = queued("RateProduct", {"product_id": products[0], "user_id": "ann", "rating": 5}, "rate")
    await acceptor(client).accept([*commands, rate])
    lanes = [command_lane(partition_of(product_id, PARTITIONS)) for product_id in [*targets, products[0]]]
    assert await outbox(sql) == list(zip(lanes, [*(f"key-{n}" for n in range(6)), "rate"], strict=True))
    row = await sql.fetchrow("SELECT * FROM receipts WHERE command_id = 'rate'")
    assert (row["status"], row["outcome"], row["completed_at"]) == ("accepted", None, None)
    assert (row["type"], row["fingerprint"]) == ("RateProduct", rate.fingerprint)
    assert command_reader().read_message(orjson.loads(row["message"]), None, rate.submitted_at) == rate


async def test_the_same_commands_again_are_accepted_again_and_wait_only_once(
    launch: Launcher, sql: asyncpg.Connection
) -> None:
    clients = [await launch(), await launch()]
    [tea] = await stocked(clients[0])
    commands = [add(tea, n, f"key-{n}") for n in range(5)[1:]]
    await asyncio.gather(*(acceptor(clients[n % 2]).accept([*commands, *commands]) for n in range(6)))
    await acceptor(clients[0]).accept([*commands[::-1], add(tea, 9, "new")])
    assert [key for _, key in await outbox(sql)] == ["key-1", "key-2", "key-3", "key-4", "new"]


async def test_one_id_that_was_used_refuses_all_of_them_and_is_named(launch: Launcher, sql: asyncpg.Connection) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await acceptor(client).accept([add(tea, 1, "accepted")])
    await client.executor.execute(add(tea, 1, "executed"))
    before = [await receipts(sql), await outbox(sql)]
    new = [add(tea, 1), add(tea, 1, "twice")]
    for reused in (add(tea, 2, "accepted"), add(tea, 2, "executed"), add(tea, 2, "twice")):
        with pytest.raises(KeyReused) as caught:
            await acceptor(client).accept([*new, reused, add(tea, 3)])
        assert caught.value.index == 2
    assert [await receipts(sql), await outbox(sql)] == before


async def test_a_refused_array_touches_no_other_of_its_batch(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    accepting = acceptor(client)
    before = spy.transactions
    results = await asyncio.gather(
        accepting.accept([add(tea, 1, "a"), add(tea, 2, "b")]),
        accepting.accept([add(tea, 3, "c"), add(tea, 9, "b")]),
        accepting.accept([add(tea, 2, "b"), add(tea, 4, "d")]),
        client.executor.execute(add(tea, 4, "d")),
        return_exceptions=True,
    )
    assert spy.transactions == before + 1
    assert [type(result).__name__ for result in results] == ["NoneType", "KeyReused", "NoneType", "Outcome"]
    assert [key for _, key in await outbox(sql)] == ["a", "b", "d"]
    assert {key: status for key, status in (await receipts(sql)).items() if len(key) == 1} == {
        "a": "accepted",
        "b": "accepted",
        "d": "succeeded",
    }


@pytest.mark.parametrize("accepted_first", [True, False])
@pytest.mark.parametrize("together", [True, False])
async def test_accepted_and_executed_in_whatever_order_a_command_happens_once(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, accepted_first: bool, together: bool
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    command = add(tea, 3, "key")
    before = spy.transactions
    steps = [acceptor(client).accept([command]), client.executor.execute(command)]
    if not accepted_first:
        steps.reverse()
    if together:
        await asyncio.gather(*steps)
        assert spy.transactions == before + 1
    else:
        for step in steps:
            await step
    # What was accepted comes by the queue nevertheless, and finds what became of it.
    assert [key for _, key in await outbox(sql)] == (["key"] if accepted_first else [])
    again = await client.executor.execute(command)
    assert (again.status, again.version) == ("succeeded", 2)
    assert await stock_of(sql, tea) == (13, 0)
    row = await sql.fetchrow("SELECT status, completed_at, message FROM receipts WHERE command_id = 'key'")
    assert row["status"] == "succeeded"
    assert row["completed_at"] is not None
    assert row["message"] is None


@pytest.mark.parametrize("step", ["begin", "load", "append", "commit", "done"])
@pytest.mark.parametrize("by", ["server", "silence"])
async def test_an_acceptance_interrupted_at_any_step_is_whole_and_happens_once(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, step: str, by: str
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    interrupted = 0

    async def interrupt(at: str, connection: asyncpg.Connection) -> None:
        nonlocal interrupted
        if at != step or interrupted == 2:
            return
        interrupted += 1
        if by == "server":
            await sql.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
        if by == "silence" or at == "done":
            raise TimeoutError

    spy.hook = interrupt
    commands = [add(tea, n, f"key-{n}") for n in range(1, 4)]
    await asyncio.gather(acceptor(client).accept(commands), acceptor(client).accept(commands[1:]))
    assert interrupted == 2
    assert [key for _, key in await outbox(sql)] == ["key-1", "key-2", "key-3"]
    assert sorted((await receipts(sql)).items())[-3:] == [(f"key-{n}", "accepted") for n in range(1, 4)]


async def test_what_could_not_be_accepted_is_not_there_and_what_waits_behind_is_refused_with_it(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    """Were only the first refused, one that was sent behind it could be executed before it."""
    client = await launch(retry_seconds=0.0)
    [tea] = await stocked(client)
    under_way, told = asyncio.Event(), asyncio.Event()

    async def fail_once_when_told(at: str, _connection: asyncpg.Connection) -> None:
        if at == "append" and not under_way.is_set():
            under_way.set()
            await told.wait()
            raise TimeoutError

    spy.hook = fail_once_when_told
    first = asyncio.create_task(acceptor(client).accept([add(tea, 1, "first")]))
    await under_way.wait()
    others = [asyncio.create_task(client.executor.execute(add(tea, n, f"other-{n}"))) for n in (2, 3)]
    await asyncio.sleep(0)
    told.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    assert await outbox(sql) == []
    assert len(await receipts(sql)) == 1


async def test_a_fault_of_one_command_is_no_fault_of_those_accepted_with_it(
    launch: Launcher, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    # A value that can't be sent to Postgres at all stops the statement of the whole batch.
    poison = replace(acceptor(client).accepted(add(tea, 1, "poison")), lane=2**40)
    results = await asyncio.gather(
        acceptor(client).accept([add(tea, 1, "a")]),
        client.executor.accept([poison]),
        client.executor.execute(add(tea, 2, "b")),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["NoneType", ExecutionFailed.__name__, "Outcome"]
    assert [key for _, key in await outbox(sql)] == ["a"]


async def test_arrays_of_a_thousand_are_committed_one_by_one_and_stay_in_order(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    arrays = [[add(tea, 1, f"{array}-{n:03}") for n in range(1000)] for array in range(3)]
    before = spy.transactions
    await asyncio.gather(*(acceptor(client).accept(commands) for commands in arrays))
    assert spy.transactions == before + 3
    keys = [key for _, key in await outbox(sql)]
    assert keys == [one.command_id for commands in arrays for one in commands]
    assert len(body(*arrays[0])) > 100_000


@pytest.fixture
async def housekeeping(settings: CommandSettings, shop_url: str) -> AsyncIterator[Housekeeping]:
    engine = make_engine(settings)
    yield Housekeeping(engine, PARTITIONS, receipt_days=30)
    await engine.dispose()


async def test_receipts_of_commands_that_have_not_ended_well_are_never_forgotten(
    housekeeping: Housekeeping, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await acceptor(client).accept([add(tea, 1, "accepted"), add(tea, 1, "failed"), add(tea, 1, "succeeded")])
    await client.executor.execute(add(tea, 1, "succeeded"))
    await sql.execute("UPDATE receipts SET status = 'failed', completed_at = now() WHERE command_id = 'failed'")
    await sql.execute(
        "UPDATE receipts SET submitted_at = submitted_at - interval '90 days', "
        "completed_at = completed_at - interval '90 days'"
    )
    assert await housekeeping.forget() == 2
    assert await receipts(sql) == {"accepted": "accepted", "failed": "failed"}


async def test_the_oldest_waiting_command_is_measured_with_the_events(
    housekeeping: Housekeeping, launch: Launcher, sql: asyncpg.Connection
) -> None:
    client = await launch()
    [tea] = await stocked(client)
    await acceptor(client).accept([add(tea, 1)])
    await sql.execute(
        """UPDATE outbox
              SET message = jsonb_set(message::jsonb, '{submitted_at}', '"2000-01-01T00:00:00.000000Z"')::text
            WHERE partition >= $1""",
        command_lane(0),
    )
    await housekeeping.measure()
    assert metrics.DEPTH._value.get() == 3
    assert metrics.OLDEST_SECONDS._value.get() > 20 * 365 * 86_400
