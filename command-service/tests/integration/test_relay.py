"""The relay: everything committed reaches the broker, in order, and is forgotten only after the confirm."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage, DeliveryMode

from command_service.catalog.domain.change_price import ChangePrice
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.outbox import metrics
from command_service.outbox import relay as relay_module
from command_service.outbox.relay import RelaySession, backoff
from command_service.outbox.wake_up import WakeUp
from command_service.tasks import Tasks
from contracts.envelope import RecordedEvent, decode_batch
from contracts.topology import MAX_MESSAGE_BYTES, partition_of

from .relay_support import Subscriber, assert_in_order, first_times, numbers, put, relaying, subscriber
from .support import Launcher, product, until


@pytest.fixture
async def inbox(rabbitmq_url: str) -> AsyncIterator[Subscriber]:
    async with subscriber(rabbitmq_url) as inbox:
        yield inbox


def events_in(messages: Iterable[AbstractIncomingMessage]) -> set[str]:
    """Their ids."""
    return {event.id for message in messages for event in decode_batch(message.body)}


async def outbox_is_empty(sql: asyncpg.Connection) -> None:
    async def is_empty() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM outbox")

    await until(is_empty)


async def test_everything_committed_arrives_as_it_stands_in_the_log(
    launch: Launcher, inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    await inbox.bind()
    client = await launch()
    async with relaying(shop_url, rabbitmq_url):
        items = [product() for _ in range(20)]
        await client.succeed(*items)
        await client.succeed(*(AddToInventory(product_id=i.product_id, quantity=n) for n in (1, 2, 3) for i in items))
        messages = await inbox.until(lambda all_: sum(len(decode_batch(m.body)) for m in all_) == 100)
        await outbox_is_empty(sql)
    events: list[RecordedEvent] = []
    for message in messages:
        assert message.content_type == "application/cloudevents-batch+json"
        assert message.delivery_mode == DeliveryMode.PERSISTENT
        batch = decode_batch(message.body)
        assert {str(partition_of(event.partition_key, 8)) for event in batch} == {message.routing_key}
        events += batch
    streams = itertools.groupby(sorted(events, key=lambda event: event.stream_id), lambda event: event.stream_id)
    assert all([event.version for event in group] in ([1], [1, 2, 3, 4]) for _, group in streams)
    logged = await sql.fetch("SELECT position, stream_id, version, type FROM events ORDER BY position")
    sent = sorted((event.position, event.stream_id, event.version, event.type) for event in events)
    assert [tuple(row) for row in logged] == sent


async def test_who_follows_one_kind_of_stream_gets_the_whole_messages_with_events_of_it_and_no_others(
    launch: Launcher, inbox: Subscriber, shop_url: str, rabbitmq_url: str
) -> None:
    await inbox.bind()
    client = await launch()
    async with subscriber(rabbitmq_url) as follower, relaying(shop_url, rabbitmq_url):
        await follower.bind(kind="inventory")
        items = [product() for _ in range(10)]
        for item in items:
            await client.succeed(item)
            await client.succeed(ChangePrice(product_id=item.product_id, price=Decimal("19.00")))
        await client.succeed(AddToInventory(product_id=items[0].product_id, quantity=1))
        await inbox.until(lambda all_: len(events_in(all_)) == 31)
        last = {f"inventory-{item.product_id}@{1 + (item is items[0])}" for item in items}
        await follower.until(lambda all_: last <= events_in(all_))
        about_inventories = {m.body for m in inbox.messages if any("inventory-" in e for e in events_in([m]))}
        assert {message.body for message in follower.messages} == about_inventories
        assert all(not message.headers for message in (*inbox.messages, *follower.messages))


async def test_rows_are_found_by_key_although_the_outbox_was_empty_when_its_statistics_were_made(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    async def whole_reads() -> int:
        await sql.execute("SELECT pg_stat_clear_snapshot()")
        return int(await sql.fetchval("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'outbox'"))

    await inbox.bind()
    await sql.execute("VACUUM ANALYZE outbox")
    before = await whole_reads()
    async with relaying(shop_url, rabbitmq_url):
        # So often that Postgres makes a plan that it keeps.
        for wave in range(12):
            await put(sql, 8, first=8 * wave)
            await inbox.until(lambda all_, sent=8 * (wave + 1): len(numbers(all_)) == sent)

    async def has_told() -> bool:
        """A connection tells its numbers when it ends."""
        return not await sql.fetchval("SELECT 1 FROM pg_stat_activity WHERE application_name = 'stockroom-relay'")

    await until(has_told)
    assert await whole_reads() == before


async def test_what_waits_is_packed_and_what_is_large_goes_alone(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    await inbox.bind(range(1))
    await put(sql, 250, partitions=1)
    await sql.execute(
        "INSERT INTO outbox (partition, message) VALUES (0, $1)", '{"n":250,"x":"' + "x" * MAX_MESSAGE_BYTES + '"}'
    )
    await put(sql, 3, partitions=1, first=251)
    async with relaying(shop_url, rabbitmq_url):
        messages = await inbox.until(lambda all_: len(numbers(all_)) == 254)
        await outbox_is_empty(sql)
    assert [len(numbers([message])) for message in messages] == [100, 100, 50, 1, 3]
    assert numbers(messages) == list(range(254))


async def test_two_relays_share_the_partitions_and_take_over_from_each_other(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    await inbox.bind()
    written = 0
    async with relaying(shop_url, rabbitmq_url):
        for _ in range(3):
            async with relaying(shop_url, rabbitmq_url):
                for _ in range(5):
                    await put(sql, 200, first=written)
                    written += 200
                await inbox.until(lambda all_: len(set(numbers(all_))) > written - 500)  # noqa: B023
    async with relaying(shop_url, rabbitmq_url):
        messages = await inbox.until(lambda all_: len(set(numbers(all_))) == written)
        await outbox_is_empty(sql)
    assert_in_order(messages, written)


async def test_a_relay_killed_between_confirm_and_delete_publishes_again_and_loses_nothing(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inbox.bind()
    await put(sql, 100)
    confirmed = asyncio.Event()

    async def never(_session: RelaySession, rows: list[tuple[int, int]]) -> None:
        if rows:
            confirmed.set()
            await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(RelaySession, "_delete", never)
        async with relaying(shop_url, rabbitmq_url):
            await confirmed.wait()
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 100
    already = len(inbox.messages)
    async with relaying(shop_url, rabbitmq_url):
        await outbox_is_empty(sql)
        messages = await inbox.until(lambda all_: len(set(numbers(all_))) == 100 and len(all_) > already)
    assert_in_order(messages, 100)


async def test_a_row_that_appears_beneath_one_that_is_being_published_is_not_deleted_with_it(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inbox.bind(range(1))
    slow = await asyncpg.connect(shop_url)
    delete = RelaySession._delete

    async def delete_after_the_slow_commit(session: RelaySession, rows: list[tuple[int, int]]) -> None:
        if rows and slow.is_in_transaction():
            await transaction.commit()
        await delete(session, rows)

    try:
        transaction = slow.transaction()
        await transaction.start()
        await put(slow, 1, partitions=1)
        await put(sql, 1, partitions=1, first=1)
        monkeypatch.setattr(RelaySession, "_delete", delete_after_the_slow_commit)
        async with relaying(shop_url, rabbitmq_url):
            await inbox.until(lambda all_: sorted(numbers(all_)) == [0, 1])
            await outbox_is_empty(sql)
    finally:
        await slow.close()


@pytest.mark.parametrize("victim", ["stockroom-relay", "all"])
async def test_a_lost_connection_to_postgres_interrupts_and_loses_nothing(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection, victim: str
) -> None:
    await inbox.bind()
    async with relaying(shop_url, rabbitmq_url):
        for turn in range(4):
            await put(sql, 300, first=300 * turn)
            await inbox.until(lambda all_, turn=turn: len(set(numbers(all_))) > 300 * turn)  # type: ignore[misc]
            await sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND (application_name = $1 OR $1 = 'all')",
                victim,
            )
        messages = await inbox.until(lambda all_: len(set(numbers(all_))) == 1200)
        await outbox_is_empty(sql)
    assert_in_order(messages, 1200)


async def test_without_any_queue_the_rows_are_kept_and_go_out_once_there_is_one(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    refused = metrics.REFUSED._value.get()
    await put(sql, 50)
    async with relaying(shop_url, rabbitmq_url):

        async def each_partition_was_refused() -> bool:
            return bool(metrics.REFUSED._value.get() >= refused + 8)

        await until(each_partition_was_refused)
        assert await sql.fetchval("SELECT count(*) FROM outbox") == 50
        await inbox.bind(range(1, 8))
        messages = await inbox.until(lambda all_: len(numbers(all_)) == 43)
        assert {n % 8 for n in numbers(messages)} == set(range(1, 8))
        await inbox.bind(range(1))
        messages = await inbox.until(lambda all_: len(numbers(all_)) == 50)
        await outbox_is_empty(sql)
    assert_in_order(messages, 50)


async def test_a_nacked_message_is_tried_again_and_nothing_overtakes_it(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    full = await inbox.channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await inbox.channel.declare_exchange("stockroom.events", "direct", durable=True)
    await full.bind("stockroom.events", "0")
    await put(sql, 350, partitions=1)
    got: list[AbstractIncomingMessage] = []
    async with relaying(shop_url, rabbitmq_url):

        async def one_more() -> bool:
            message = await full.get(fail=False)
            if message is not None:
                await message.ack()
                got.append(message)
            return len(set(numbers(got))) == 350

        await until(one_more)
        await outbox_is_empty(sql)
    assert first_times(numbers(got)) == list(range(350))
    assert max(len(numbers([message])) for message in got) == 100


async def test_a_wake_up_makes_the_relay_publish_without_waiting_for_its_poll(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "SHORTEST_POLL", 3600.0)
    monkeypatch.setattr(relay_module, "LONGEST_POLL", 3600.0)
    await inbox.bind()
    wake_up = WakeUp(shop_url)
    async with relaying(shop_url, rabbitmq_url), Tasks(wake_up.run):
        await put(sql, 10)
        wake_up.relay()
        await inbox.until(lambda all_: len(numbers(all_)) == 10)
        await outbox_is_empty(sql)
        for turn in range(1, 6):
            await put(sql, 10, first=10 * turn)
            wake_up.relay()
            await inbox.until(lambda all_, turn=turn: len(numbers(all_)) == 10 * (turn + 1))  # type: ignore[misc]
    assert_in_order(inbox.messages, 60)


async def test_without_wake_ups_the_relay_still_finds_what_was_committed(
    inbox: Subscriber, shop_url: str, rabbitmq_url: str, sql: asyncpg.Connection
) -> None:
    await inbox.bind()
    async with relaying(shop_url, rabbitmq_url):
        for turn in range(2):
            await put(sql, 10, first=10 * turn)
            await inbox.until(lambda all_, turn=turn: len(numbers(all_)) == 10 * (turn + 1))  # type: ignore[misc]


async def test_many_commits_are_one_wake_up_and_a_lost_connection_is_made_again(
    shop_url: str, sql: asyncpg.Connection
) -> None:
    heard = asyncio.Queue[str]()
    await sql.add_listener("stockroom_outbox", lambda *arguments: heard.put_nowait(str(arguments[1])))
    wake_up = WakeUp(shop_url)
    for _ in range(100):
        wake_up.relay()
    async with Tasks(wake_up.run):
        async with asyncio.timeout(30):
            await heard.get()
        await sql.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stockroom-wake-up'"
        )
        await sql.execute("SELECT 1")
        assert heard.empty()

        async def heard_again() -> bool:
            wake_up.relay()
            return not heard.empty()

        await until(heard_again)
    await sql.reset()


async def test_a_commit_wakes_the_relay_and_a_refusal_does_not(launch: Launcher) -> None:
    woken: list[Any] = []
    client = await launch(wake_relay=lambda: woken.append(1))
    item = product()
    await client.send(AddToInventory(product_id=item.product_id, quantity=1))
    assert len(woken) == 0
    await client.succeed(item)
    assert len(woken) == 1


def test_backing_off_doubles_and_has_an_end() -> None:
    waits = [backoff(failures) for failures in range(2000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[1], max(waits)) == (0.1, 0.2, relay_module.LONGEST_BACKOFF)


@pytest.mark.parametrize("turns", range(8))
async def test_a_relay_that_is_told_to_stop_while_it_wakes_up_stops(turns: int) -> None:
    session = RelaySession(None, {}, range(8))  # type: ignore[arg-type]
    waiting = asyncio.create_task(session._wait())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    session.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    told = waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled() == told
