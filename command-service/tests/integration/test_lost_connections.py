"""A connection lost at any step: the outcome is looked up, and what was to happen happens exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from command_service.database import make_engine
from command_service.envelope import Outcome, Unavailable
from command_service.executor.executor import Executor
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.migrations import migrate
from command_service.settings import CommandSettings
from stockroom_local.servers import Postgres

from .support import Client, Launcher, Spy, envelope, launcher, product, until

STEPS = ["begin", "load", "append", "commit", "done"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("by", ["server", "network", "silence"])
async def test_a_batch_interrupted_at_any_step_happens_exactly_once(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection, step: str, by: str
) -> None:
    client = await launch()
    item = product(initial_stock=5)
    pid = item.product_id
    await client.succeed(item)
    interrupted = 0

    async def interrupt(at: str, connection: asyncpg.Connection) -> None:
        nonlocal interrupted
        if at != step or interrupted == 2:
            return
        interrupted += 1
        if by == "server":
            await sql.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
            if at == "done":
                raise ConnectionResetError("lost after the commit")
        elif by == "network":
            connection.terminate()
            if at == "done":
                raise ConnectionResetError("lost after the commit")
        else:
            raise TimeoutError

    spy.hook = interrupt
    outcomes = await asyncio.gather(
        client.send(ConfirmItemsShipped(product_id=pid, quantity=3)),
        client.send(ConfirmItemsShipped(product_id=pid, quantity=3)),
        client.send(AddToInventory(product_id=pid, quantity=1)),
    )
    assert interrupted == 2
    assert [(outcome.status, outcome.version) for outcome in outcomes] == [
        ("succeeded", 2),
        ("rejected", 0),
        ("succeeded", 3),
    ]
    assert await sql.fetchval("SELECT count(*) FROM events WHERE stream_id = $1", f"inventory-{pid}") == 3
    assert await sql.fetchval("SELECT count(*) FROM receipts") == 4
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 4


async def test_a_try_that_the_server_still_commits_is_waited_for_and_not_made_again(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    """Given up here, still held by the server: its locks keep the second try waiting."""
    client = await launch()
    held: list[asyncpg.Connection] = []

    async def give_up(at: str, connection: asyncpg.Connection) -> None:
        if at != "commit" or held:
            return
        held.append(connection)
        # The executor drops its connection; the test keeps the server's side open, as a slow network would.
        lent = client.executor._sessions[0]._connection
        assert lent is not None
        raw = await lent.get_raw_connection()
        raw.detach()
        client.executor._sessions[0]._connection = None
        raise TimeoutError

    spy.hook = give_up
    command = asyncio.create_task(client.send(product(), "key"))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    async def second_try_waits() -> bool:
        return bool(await sql.fetchval(waiting))

    await until(second_try_waits)
    assert not command.done()
    await held[0].execute("COMMIT")
    held[0].terminate()
    assert (await command).version == 1
    assert await sql.fetchval("SELECT count(*) FROM events") == 2


async def test_a_client_that_gave_up_does_not_disturb_the_others(launch: Launcher, sql: asyncpg.Connection) -> None:
    client = await launch()
    gone = asyncio.create_task(client.send(product(), "gone"))
    others = [asyncio.create_task(client.send(product())) for _ in range(3)]
    await asyncio.sleep(0)
    gone.cancel()
    assert {outcome.status for outcome in await asyncio.gather(*others)} == {"succeeded"}
    assert await sql.fetchval("SELECT count(*) FROM receipts") in (3, 4)


async def test_a_process_that_is_told_to_stop_answers_what_it_had_taken_in(
    launch: Launcher, settings: CommandSettings, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    executor = Executor(client.executor._sessions[0]._engine, client.executor._use_cases, 8)
    stuck = asyncio.Event()

    async def hold(at: str, _connection: asyncpg.Connection) -> None:
        if at == "append":
            stuck.set()
            await asyncio.Event().wait()

    spy.hook = hold
    running = asyncio.create_task(executor.run())
    under_way = asyncio.create_task(executor.execute(envelope(product())))
    await stuck.wait()
    waiting = asyncio.create_task(executor.execute(envelope(product())))
    await asyncio.sleep(0)
    running.cancel()
    results = await asyncio.gather(under_way, waiting, running, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable, asyncio.CancelledError]
    assert await sql.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert await sql.fetchval("SELECT count(*) FROM receipts") == 0


@pytest.fixture
async def launch_own(own_postgres: Postgres) -> AsyncIterator[Launcher]:
    settings = CommandSettings(postgres_url=own_postgres.url)
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()
    async with AsyncExitStack() as stack:
        yield launcher(settings, stack)


async def test_commands_survive_a_restart_and_a_crash_of_postgres(own_postgres: Postgres, launch_own: Launcher) -> None:
    clients = [await launch_own(), await launch_own()]
    item = product()
    await clients[0].succeed(item)
    stop = asyncio.Event()

    async def work(client: Client, name: str) -> int:
        done = 0
        while not stop.is_set():
            outcome = await client.send(AddToInventory(product_id=item.product_id, quantity=1), f"{name}-{done}")
            assert outcome.status == "succeeded"
            done += 1
        return done

    working = [asyncio.create_task(work(clients[n % 2], f"client-{n}")) for n in range(6)]
    for stopping in (own_postgres.stop, own_postgres.kill):
        probe = await asyncio.gather(*(client.send(product()) for client in clients))
        assert [outcome.status for outcome in probe] == ["succeeded"] * 2
        await asyncio.to_thread(stopping)
        await asyncio.to_thread(own_postgres.start)
    await clients[0].succeed(product())
    stop.set()
    done = sum(await asyncio.gather(*working))
    connection = await asyncpg.connect(own_postgres.url)
    stream = f"inventory-{item.product_id}"
    rows = await connection.fetch("SELECT version FROM events WHERE stream_id = $1 ORDER BY version", stream)
    receipts = await connection.fetchval("SELECT count(*) FROM receipts WHERE command_id LIKE 'client-%'")
    await connection.close()
    assert [row["version"] for row in rows] == list(range(1, done + 2))
    assert receipts == done


async def test_while_postgres_is_down_commands_are_unavailable_and_afterwards_executed(
    own_postgres: Postgres, launch_own: Launcher
) -> None:
    client = await launch_own(retry_seconds=0.3)
    await client.succeed(product())
    await asyncio.to_thread(own_postgres.stop)
    commands = [product() for _ in range(3)]
    outcomes = await asyncio.gather(*(client.send(c, c.product_id) for c in commands), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await client.send(product())
    await asyncio.to_thread(own_postgres.start)

    async def sent(command: Any) -> Outcome:
        while True:
            try:
                return await client.send(command, command.product_id)
            except Unavailable:
                continue

    async with asyncio.timeout(60):
        assert {(await sent(command)).version for command in commands} == {1}


async def test_a_server_that_refuses_connections_is_unavailable_and_not_a_fault_of_the_command(
    launch: Launcher, sql: asyncpg.Connection, postgres_server: Postgres
) -> None:
    client = await launch(retry_seconds=0.2)
    database = await sql.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(postgres_server.url)
    await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    with pytest.raises(Unavailable):
        await client.send(product())
    await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    await admin.close()
    await client.succeed(product())
