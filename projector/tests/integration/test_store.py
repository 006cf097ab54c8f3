"""Applying batches to a real Redis: each event once, each batch as a whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from projector_testing.orders import pay, place
from projector_testing.read_model import dump, equals_log
from projector_testing.shop import GENERATION, PARTITIONS, Log, add_product, product_id
from projector_testing.trading import shop, trade
from redis.asyncio import Redis

from contracts import events, streams
from contracts.keys import APPLIED_CHANNEL, HISTORY_LENGTH, LISTED, announced
from projector import parking, redis_client
from projector.parking import Redrive
from projector.redis_client import UnsafeRedis
from projector.store import Gap, GuardLost, Store, Superseded

NOBODY: Any = ((GENERATION.prefix + "walk", "somebody"),)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url)
    await client.set(GENERATION.complete, 1)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis) -> Store:
    return Store(redis, GENERATION)


async def apply_all(store: Store, log: Log, size: int = 7) -> None:
    for partition in range(PARTITIONS):
        recorded = log.of_partition(partition)
        for start in range(0, len(recorded), size):
            await store.apply(partition, recorded[start : start + size], store.whole)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_documents_versions_and_indexes_are_those_of_the_log(redis: Redis, store: Store, size: int) -> None:
    log = shop(products=8, traded=300, seed=size)
    await apply_all(store, log, size)
    assert await equals_log(redis, log)


async def test_a_batch_that_comes_again_changes_nothing(redis: Redis, store: Store) -> None:
    log = shop(traded=100)
    await apply_all(store, log)
    before = await dump(redis)
    await apply_all(store, log, 11)
    assert await dump(redis) == before


async def test_two_projectors_at_once_apply_each_event_once(redis: Redis, store: Store) -> None:
    log = shop(products=6, traded=400)
    other = Store(redis, GENERATION)
    await asyncio.gather(*(apply_all(s, log, size) for s, size in ((store, 40), (other, 40), (store, 100))))
    assert await equals_log(redis, log)


async def test_a_change_between_reading_and_writing_is_noticed_and_folded_again(redis: Redis, store: Store) -> None:
    log = shop(products=1, traded=0)
    partition = next(p for p in range(PARTITIONS) if log.of_partition(p))
    await store.apply(partition, log.events, store.whole)
    added = log.add(streams.inventory_stream(product_id(1)), events.StockAdded(quantity=3, available=8))
    rated = log.add(streams.rating_stream(product_id(1), "u"), events.ProductRated(user_id="u", rating=4))
    read, other = store._read, Store(redis, GENERATION)
    readings = 0

    async def read_then_be_overtaken(*arguments: Any) -> Any:
        nonlocal readings
        answer = await read(*arguments)
        readings += 1
        if readings == 1:
            await other.apply(partition, [rated], other.whole)
        return answer

    store._read = read_then_be_overtaken  # type: ignore[method-assign]
    await store.apply(partition, [added], store.whole)
    assert readings == 2
    assert await equals_log(redis, log)


async def test_nothing_is_written_after_a_flush(redis: Redis, store: Store) -> None:
    log = shop(traded=0)
    await redis.flushall()
    with pytest.raises(GuardLost):
        await apply_all(store, log)
    assert await redis.dbsize() == 0


async def test_a_flush_between_reading_and_writing_is_noticed(redis: Redis, store: Store) -> None:
    log = shop(products=1, traded=0)
    read = store._read

    async def read_then_be_flushed(*arguments: Any) -> Any:
        answer = await read(*arguments)
        await redis.flushall()
        return answer

    store._read = read_then_be_flushed  # type: ignore[method-assign]
    with pytest.raises(GuardLost):
        await store.apply(0, log.events, store.whole)
    assert await redis.dbsize() == 0


async def test_a_leader_whose_lease_is_gone_writes_nothing(redis: Redis, store: Store) -> None:
    await redis.set(GENERATION.prefix + "walk", "another")
    with pytest.raises(GuardLost):
        await store.apply(0, shop(products=1).events, NOBODY)
    assert await redis.keys(GENERATION.version("*")) == []


async def test_a_gap_writes_nothing_and_names_what_is_missing(redis: Redis, store: Store) -> None:
    log = shop(products=1, traded=0)
    newest = log.add(streams.inventory_stream(product_id(1)), events.StockAdded(quantity=1, available=6))
    with pytest.raises(Gap) as gap:
        await store.apply(0, [log.events[0], newest], store.whole)
    assert gap.value.streams == {newest.stream_id: 2}
    assert gap.value.versions == {newest.stream_id: 0}
    assert await redis.keys(GENERATION.version("*")) == []


async def test_what_is_applied_is_announced_in_the_same_step(redis: Redis, store: Store) -> None:
    log = shop(products=1, traded=0)
    async with redis.pubsub() as channel:
        await channel.subscribe(f"{APPLIED_CHANNEL}2")
        await store.apply(2, log.events, store.whole)
        async with asyncio.timeout(10):
            async for message in channel.listen():
                if message["type"] == "message":
                    break
    assert message["data"].split()[0] == b"2"
    # All that queries answer is named: they must not go on answering what they remember of it.
    named = announced(message["data"]) or ()
    indexes = {key.decode() async for key in redis.scan_iter(_type="ZSET") if b"history" not in key}
    assert GENERATION.words(LISTED) in indexes
    assert len(named) == len(set(named))
    assert set(named) == {GENERATION.product(product_id(1)), GENERATION.inventory(product_id(1)), *indexes}
    assert (await redis.get(GENERATION.applied(2))).split()[0] == b"2"


async def test_the_applied_position_never_goes_back(redis: Redis, store: Store) -> None:
    log = shop(products=2, traded=0)
    one, two = log.events[:2], log.events[2:]
    await store.apply(0, two, store.whole)
    await store.apply(0, one, store.whole)
    assert (await redis.get(GENERATION.applied(0))).split()[0] == b"4"


async def test_versions_and_positions_of_64_bits_are_kept_exactly(redis: Redis, store: Store) -> None:
    log = Log()
    add_product(log, 1)
    huge = 2**63 - 1
    late = log.add(streams.product_stream(product_id(1)), events.ProductRelisted(), position=huge)
    await store.apply(0, log.events, store.whole)
    assert (await redis.get(GENERATION.applied(0))).split()[0] == str(late.position).encode()


async def test_poison_parks_its_key_and_a_redrive_applies_all_that_waited(redis: Redis, store: Store) -> None:
    log = Log()
    good, bad = add_product(log, 1), add_product(log, 2)
    poison = log.add(streams.inventory_stream(bad), events.StockAdded(quantity=2, available=7), type="Unknown")
    log.add(streams.inventory_stream(good), events.StockAdded(quantity=1, available=6))
    await store.apply(0, log.events, store.whole)
    assert await redis.get(GENERATION.parked_in(0)) == b"1"
    late = log.add(streams.product_stream(bad), events.ProductDiscontinued())
    await store.apply(0, [late], store.whole)
    record = await redis.hget(GENERATION.parked, bad)
    assert parking.decode(record).streams == (poison.stream_id, late.stream_id)
    assert await redis.get(GENERATION.version(late.stream_id)) == b"1"

    # A projector that knows the event now:
    mended = log.events[poison.position - 1] = poison._replace(type="StockAdded")
    await store.apply(0, [mended, late], store.whole, redrive=Redrive(bad, record, True))
    assert await redis.get(GENERATION.parked_in(0)) is None
    assert await redis.hlen(GENERATION.parked) == 0
    assert await equals_log(redis, log)


async def test_a_redrive_counts_only_while_nothing_more_was_left_out(redis: Redis, store: Store) -> None:
    log = Log()
    product = add_product(log, 1)
    log.add(streams.inventory_stream(product), events.StockAdded(quantity=2, available=7), type="Unknown")
    await store.apply(0, log.events, store.whole)
    record = await redis.hget(GENERATION.parked, product)
    late = log.add(streams.inventory_stream(product), events.StockAdded(quantity=2, available=7))
    await store.apply(0, [late], store.whole)
    with pytest.raises(Superseded):
        await store.apply(0, [], store.whole, redrive=Redrive(product, record, True))
    assert await redis.get(GENERATION.parked_in(0)) == b"1"


async def test_commands_of_any_length_get_through(redis: Redis, store: Store) -> None:
    log = shop(products=3000, traded=0)
    await store.apply(0, log.events, store.whole)
    assert await redis.zcard(GENERATION.stock) == 3000
    trade(log, [product_id(1)], 20, 3)
    await store.apply(0, log.events, store.whole)
    assert await equals_log(redis, log)


async def test_orders_of_many_products_are_counted_in_several_steps(redis: Redis, store: Store) -> None:
    log = Log()
    for number in range(12):
        pay(log, place(log, number, {product_id(n): 1 for n in range(number * 40, number * 40 + 100)}))
    changes = await store.apply(0, log.events, store.whole)
    assert changes.applied == log.settled
    assert await equals_log(redis, log)
    again = await store.apply(0, log.events, store.whole)
    assert (again.applied, again.ignored) == (0, log.settled)
    assert await equals_log(redis, log)


async def test_a_batch_applied_in_steps_parks_and_redrives_as_one(
    redis: Redis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.folding.MOST_INCREMENTS", 1)
    log = Log()
    orders = [place(log, number, {product_id(1): 1, product_id(2): 1}) for number in range(4)]
    for order in orders:
        pay(log, order)
    poison = log.events[4]
    log.events[4] = poison._replace(type="Unknown")
    changes = await store.apply(0, log.events, store.whole)
    assert (changes.applied, changes.left_out, len(changes.poisoned)) == (7, 1, 1)
    record = await redis.hget(GENERATION.parked, orders[0])
    log.events[4] = poison
    await store.apply(0, log.events, store.whole, redrive=Redrive(orders[0], record, True))
    assert await redis.hlen(GENERATION.parked) == 0
    assert await equals_log(redis, log)


async def test_a_history_keeps_its_newest_entries_also_when_older_ones_come_late(redis: Redis, store: Store) -> None:
    log = Log()
    product = add_product(log, 1)
    early = [
        log.add(streams.rating_stream(product, user), events.ProductRated(user_id=user, rating=5)) for user in "abc"
    ]
    stream = streams.inventory_stream(product)
    for _ in range(HISTORY_LENGTH + 5):
        log.add(stream, events.StockAdded(quantity=1, available=log.version(stream) + 5))
    in_time = [event for event in log.events if event not in early]
    for start in range(0, len(in_time), 400):
        await store.apply(0, in_time[start : start + 400], store.whole)
    await store.apply(0, early, store.whole)
    assert await redis.zcard(GENERATION.product_history(product)) == HISTORY_LENGTH
    assert await equals_log(redis, log)


async def test_a_redis_that_may_drop_keys_is_refused(redis: Redis) -> None:
    await redis_client.refuse_eviction(redis)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(UnsafeRedis, match="allkeys-lru"):
            await redis_client.refuse_eviction(redis)
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
