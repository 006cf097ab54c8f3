"""Where a full batch waits, it is committed beside the one that is under way; and still nothing overtakes anything."""

import asyncio
from collections import deque
from datetime import UTC, datetime

import asyncpg
import pytest

from command_service.envelope import Outcome
from command_service.executor.executor import MAX_BATCH, MAX_LOCKS
from command_service.executor.jobs import Accepted, Job
from command_service.inventory.domain.add_to_inventory import AddToInventory

from .support import DEADLINE, Launcher, Spy, product, until


class Held:
    """Holds the first commit that comes back until it is let go; the others pass."""

    def __init__(self, spy: Spy) -> None:
        self.is_held = asyncio.Event()
        self.let_go = asyncio.Event()
        spy.hook = self._hold

    async def _hold(self, step: str, _connection: asyncpg.Connection) -> None:
        if step == "commit" and not self.is_held.is_set():
            self.is_held.set()
            await self.let_go.wait()


@pytest.fixture
def held(spy: Spy) -> Held:
    return Held(spy)


async def test_a_full_batch_is_committed_while_another_is_under_way(launch: Launcher, held: Held) -> None:
    client = await launch()
    first = asyncio.create_task(client.send(product()))
    await held.is_held.wait()
    # Each of them succeeds, although the first has not ended.
    async with asyncio.timeout(DEADLINE):
        await client.succeed(*(product() for _ in range(MAX_BATCH)))
    assert not first.done()
    held.let_go.set()
    assert (await first).version == 1


async def test_less_than_a_full_batch_waits_and_is_one(launch: Launcher, spy: Spy, held: Held) -> None:
    client = await launch()
    first = asyncio.create_task(client.send(product()))
    await held.is_held.wait()
    others = [asyncio.create_task(client.send(product())) for _ in range(MAX_BATCH - 1)]

    async def wait() -> bool:
        return len(client.executor._waiting) == len(others)

    await until(wait)
    held.let_go.set()
    await asyncio.gather(first, *others)
    assert spy.transactions == 2


async def test_commands_of_a_stream_do_not_overtake_each_other_in_a_crowd(launch: Launcher, held: Held) -> None:
    client = await launch()
    item = product()
    added = asyncio.create_task(client.send(item))
    await held.is_held.wait()
    changes = [AddToInventory(product_id=item.product_id, quantity=n + 1) for n in range(3)]
    ended: list[int] = []

    async def change(number: int) -> Outcome:
        outcome = await client.send(changes[number])
        ended.append(number)
        return outcome

    changing = [asyncio.create_task(change(n)) for n in range(3)]
    async with asyncio.timeout(DEADLINE):
        await client.succeed(*(product() for _ in range(2 * MAX_BATCH)))
    # Whatever came behind them has been committed; they wait for what they follow.
    assert not ended and not added.done()
    held.let_go.set()
    outcomes = await asyncio.gather(*changing)
    assert [outcome.version for outcome in outcomes] == [2, 3, 4]
    assert ended == [0, 1, 2]


async def test_batches_side_by_side_keep_within_the_locks_together(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    client = await launch()
    most = 0

    async def count(step: str, _connection: asyncpg.Connection) -> None:
        nonlocal most
        if step == "commit":
            most = max(most, await sql.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    gate = asyncio.Lock()

    async def one_at_a_time(step: str, connection: asyncpg.Connection) -> None:
        async with gate:
            await count(step, connection)

    spy.hook = one_at_a_time
    await client.succeed(*(product(sku=f"S{n}") for n in range(6 * MAX_BATCH)))
    # Beside those of the commands, each transaction marks its position.
    assert MAX_LOCKS // 2 < most <= MAX_LOCKS + 2


async def test_a_connection_trusts_nothing_that_was_seen_over_another(
    launch: Launcher, spy: Spy, sql: asyncpg.Connection
) -> None:
    """The other one may have led to a log that had more: here its last event is gone when the second connects."""
    client = await launch()
    item = product()
    change = AddToInventory(product_id=item.product_id, quantity=1)
    await client.succeed(item)
    await client.succeed(change)
    await sql.execute("ALTER TABLE events DISABLE TRIGGER USER")  # the log refuses deletions otherwise
    await sql.execute("DELETE FROM events WHERE stream_id = $1 AND version = 2", f"inventory-{item.product_id}")
    held = Held(spy)
    first = asyncio.create_task(client.send(product()))
    await held.is_held.wait()
    async with asyncio.timeout(DEADLINE):
        # A crowd, so that the second connection commits it.
        outcomes = await client.succeed(change, *(product() for _ in range(MAX_BATCH - 1)))
    assert not first.done()
    held.let_go.set()
    await first
    assert outcomes[0].version == 2


async def test_acceptances_into_a_lane_do_not_overtake_each_other_in_a_crowd(
    launch: Launcher, held: Held, sql: asyncpg.Connection
) -> None:
    client = await launch()

    def accepted(key: str, lane: int) -> Accepted:
        return Accepted(key, key.encode(), "AddToInventory", datetime.now(UTC), lane, "{}")

    first = asyncio.create_task(client.executor.accept([accepted("first", 64)]))
    await held.is_held.wait()
    second = asyncio.create_task(client.executor.accept([accepted("second", 64)]))
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(client.executor.accept([accepted(f"other-{n}", 65)]) for n in range(MAX_BATCH)))
    assert not second.done()
    held.let_go.set()
    await asyncio.gather(first, second)
    told = await sql.fetch("SELECT command_id FROM receipts WHERE command_id IN ('first', 'second')")
    assert len(told) == 2


async def test_a_long_queue_for_one_stream_is_not_looked_through_to_its_end(launch: Launcher, held: Held) -> None:
    client = await launch()
    executor = client.executor
    item = product()
    first = asyncio.create_task(client.send(item))
    await held.is_held.wait()
    change = AddToInventory(product_id=item.product_id, quantity=1)
    changes = [asyncio.create_task(client.send(change)) for _ in range(4 * MAX_BATCH)]

    async def wait() -> bool:
        return len(executor._waiting) == len(changes)

    await until(wait)
    order, looked_at = list(executor._waiting), 0

    class Counted(deque[Job]):
        def popleft(self) -> Job:
            nonlocal looked_at
            looked_at += 1
            return super().popleft()

    executor._waiting = Counted(order)
    assert executor._next_batch() == []
    assert looked_at <= MAX_BATCH
    assert list(executor._waiting) == order
    held.let_go.set()
    outcomes = await asyncio.gather(first, *changes)
    assert [outcome.version for outcome in outcomes] == [1, *range(2, len(changes) + 2)]


async def test_a_fault_refuses_all_that_wait_so_that_none_overtakes(launch: Launcher, held: Held, spy: Spy) -> None:
    client = await launch(retry_seconds=0.0)
    item = product()
    first = asyncio.create_task(client.send(item))
    await held.is_held.wait()
    follower = asyncio.create_task(client.send(AddToInventory(product_id=item.product_id, quantity=1)))

    async def waits() -> bool:
        return len(client.executor._waiting) == 1

    await until(waits)

    async def lose(step: str, _connection: asyncpg.Connection) -> None:
        raise ConnectionResetError

    spy.hook = lose
    await client.executor._sessions[0].disconnect()
    held.let_go.set()
    ended = await asyncio.gather(first, follower, return_exceptions=True)
    assert [type(each).__name__ for each in ended] == ["Unavailable", "Unavailable"]
