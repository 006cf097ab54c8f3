"""Poison stops one key, not the shop; and the key goes on as soon as it can."""

from collections.abc import AsyncIterator

import pytest
from projector_testing.poison import discard, mend, never_by_itself, parks, poison, record, unparks
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, PARTITIONS, add_product, product_id
from projector_testing.trading import shop, trade

from contracts import events, streams
from contracts.topology import partition_of
from projector import metrics
from projector.feed import PAGE_EVENTS
from projector.operating.parked import ParkedKeys, parked_keys
from projector.parking import MOST_STREAMS

BAD = product_id(1)
BAD_PARTITION = partition_of(BAD, PARTITIONS)
NEIGHBOUR = next(
    product_id(n) for n in range(2, 100) if partition_of(product_id(n), PARTITIONS) == partition_of(BAD, PARTITIONS)
)


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


async def keys(around: World, projector: object) -> ParkedKeys:
    return await parked_keys(around.redis, projector.connections.feed)  # type: ignore[attr-defined]


async def test_poison_in_the_middle_of_a_message_leaves_the_rest_of_it_applied_and_acknowledged(around: World) -> None:
    add_product(around.log, int(NEIGHBOUR[-12:], 16))
    async with around.projector() as projector:
        await around.ready(projector)
        await around.level()
        before = await around.redis.mget([GENERATION.product(BAD), GENERATION.inventory(BAD)])
        first = around.log.add(streams.product_stream(NEIGHBOUR), events.PriceChanged(price="3.00", previous_price="2"))
        bad = poison(around, BAD)
        around.log.add(streams.product_stream(BAD), events.PriceChanged(price="1.00", previous_price="2.00"))
        last = around.log.add(streams.inventory_stream(NEIGHBOUR), events.StockAdded(quantity=1, available=6))
        await around.publish(around.log.events[-4:])

        async def applied() -> bool:
            versions = await around.redis.mget([GENERATION.version(e.stream_id) for e in (first, last)])
            return bool(versions == [str(e.version).encode() for e in (first, last)])

        await eventually(applied, "the neighbour's events are applied")
        await parks(around, BAD)

        async def acknowledged() -> bool:
            return metrics.IN_HAND.labels("1", str(BAD_PARTITION))._value.get() == 0 and await around.queued() == 0

        await eventually(acknowledged, "nothing is held")
        late = around.log.add(streams.rating_stream(BAD, "u"), events.ProductRated(user_id="u", rating=4))
        await around.publish([late])

        async def remembered() -> bool:
            found = await record(around, BAD)
            return found is not None and late.stream_id in found.streams

        await eventually(remembered, "the later event waits")
        found = await record(around, BAD)
        assert found is not None and found.event == bad.id
        assert "StockTeleported" in found.reason
        # At its last good state, and a token of its partition is not answered.
        assert await around.redis.mget([GENERATION.product(BAD), GENERATION.inventory(BAD)]) == before
        assert await around.redis.get(GENERATION.parked_in(BAD_PARTITION)) == b"1"
    assert await around.queued() == 0


async def test_a_discarded_event_counts_for_nothing_and_all_that_waited_is_applied(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad = poison(around, BAD)
        trade(around.log, [product_id(n) for n in range(1, 6)], 100, seed=3)
        await around.publish(around.log.events[bad.position - 1 :])
        await parks(around, BAD)
        discard(around, bad)
        await (await keys(around, projector)).redrive(BAD)
        await around.level()
        assert await around.redis.hlen(GENERATION.parked) == 0
        assert await around.redis.get(GENERATION.parked_in(BAD_PARTITION)) is None

        await around.redis.flushall()
        await around.level()
        assert await around.redis.hlen(GENERATION.parked) == 0


async def test_an_event_that_was_discarded_before_the_projector_started_parks_nothing(around: World) -> None:
    bad = poison(around, BAD)
    discard(around, bad)
    trade(around.log, [BAD], 10, seed=3)
    parked = metrics.LEFT_OUT._value.get()
    async with around.projector():
        await around.level()
    assert metrics.LEFT_OUT._value.get() == parked


@pytest.mark.parametrize("broken", [{"schema_version": 99}, {"type": "Unheard"}, {"data": {"quantity": None}}])
async def test_an_event_that_cant_be_read_can_be_discarded(around: World, broken: dict[str, object]) -> None:
    added = events.StockAdded(quantity=1, available=6)
    bad = around.log.add(streams.inventory_stream(BAD), added, **broken)
    async with around.projector() as projector:
        await parks(around, BAD)
        discard(around, bad)
        await (await keys(around, projector)).redrive(BAD)
        await around.level()


async def test_a_key_goes_on_to_its_next_poison(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        first = poison(around, BAD)
        around.log.add(streams.product_stream(BAD), events.PriceChanged(price="1.00", previous_price="2.00"))
        second = poison(around, BAD)
        await around.publish(around.log.events[-3:])
        await parks(around, BAD)
        discard(around, first)
        await (await keys(around, projector)).redrive(BAD)

        async def at_the_second() -> bool:
            found = await record(around, BAD)
            return found is not None and found.event == second.id

        await eventually(at_the_second, "the key stands before the second")
        versions = await around.redis.mget([GENERATION.version(e.stream_id) for e in around.log.events[-2:]])
        assert versions == [str(around.log.events[-2].version).encode(), str(first.version).encode()]
        discard(around, second)
        await (await keys(around, projector)).redrive(BAD)
        await around.level()


async def test_a_record_of_thousands_of_raters_stays_small_and_all_of_them_are_redriven(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad = poison(around, BAD)
        for number in range(5_000):
            around.log.add(
                streams.rating_stream(BAD, f"u{number}"), events.ProductRated(user_id=f"u{number}", rating=4)
            )
        await around.publish(around.log.events[bad.position - 1 :], packed=100)

        async def all_left_out() -> bool:
            found = await record(around, BAD)
            return found is not None and found.left_out > 5_000 and await around.queued() == 0

        await eventually(all_left_out, "every event is left out")
        await never_by_itself(around, BAD)
        assert await around.redis.hstrlen(GENERATION.parked, BAD) < 100 * MOST_STREAMS

        async def walked_past() -> bool:
            return int(await around.redis.get(GENERATION.checkpoint)) == around.log.settled

        await eventually(walked_past, "the walk excuses all of the key's streams")
        # While it is caught up with, the product goes on being rated.
        mend(around, bad)
        await (await keys(around, projector)).redrive(BAD)
        for number in range(4_990, 5_200):
            user = f"u{number}"
            rated = around.log.add(streams.rating_stream(BAD, user), events.ProductRated(user_id=user, rating=5))
            await around.publish([rated])
        await unparks(around, BAD)
        await around.level()


async def test_a_failing_try_of_a_key_with_thousands_of_streams_looks_at_its_poison_only(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad = poison(around, BAD)
        for number in range(MOST_STREAMS + 50):
            around.log.add(
                streams.rating_stream(BAD, f"u{number}"), events.ProductRated(user_id=f"u{number}", rating=4)
            )
        await around.publish(around.log.events[bad.position - 1 :], packed=100)

        async def overflowed() -> bool:
            found = await record(around, BAD)
            return found is not None and found.more

        await eventually(overflowed, "the record does not know all streams")
        around.service.asked.clear()
        before = await record(around, BAD)
        await (await keys(around, projector)).redrive(BAD)

        async def failed_again() -> bool:
            found = await record(around, BAD)
            return found is not None and before is not None and found.attempts > before.attempts

        await eventually(failed_again, "the key was tried again")
        assert not [path for path in around.service.asked if path.startswith("/partitions/")]
        mend(around, bad)
        await around.level()


async def test_more_parked_keys_than_one_look_finds_are_all_redriven(around: World) -> None:
    products = [add_product(around.log, number) for number in range(1000, 1300)]
    bad = [poison(around, product) for product in products]
    async with around.projector():

        async def all_parked() -> bool:
            return bool(await around.redis.hlen(GENERATION.parked) == len(products))

        await eventually(all_parked, "all are parked")
        for event in bad:
            mend(around, event)

        async def none_parked() -> bool:
            return bool(await around.redis.hlen(GENERATION.parked) == 0)

        await eventually(none_parked, "all are unparked")
        await around.level()


async def test_a_second_instance_goes_on_with_the_parked_keys(around: World) -> None:
    async with around.projector() as second:
        async with around.projector() as first:
            await around.ready(first)
            await around.ready(second)
            bad = poison(around, BAD)
            await around.publish([bad])
            await parks(around, BAD)
        late = around.log.add(streams.product_stream(BAD), events.PriceChanged(price="1.00", previous_price="2.00"))
        await around.publish([late])
        discard(around, bad)
        await (await keys(around, second)).redrive(BAD)
        await around.level()


async def test_a_redis_without_memory_parks_nothing_and_loses_nothing(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        left_out = metrics.LEFT_OUT._value.get()
        conflicts = metrics.WALKS.labels("failed")._value.get()
        await around.redis.config_set("maxmemory", 1)
        try:
            before = around.log.settled
            trade(around.log, [product_id(n) for n in range(1, 6)], 50, seed=4)
            await around.publish(around.log.events[before:])

            async def refused() -> bool:
                return metrics.WALKS.labels("failed")._value.get() > conflicts

            await eventually(refused, "nothing can be written")
            assert await around.redis.hlen(GENERATION.parked) == 0
        finally:
            await around.redis.config_set("maxmemory", 0)
        await around.level()
        assert metrics.LEFT_OUT._value.get() == left_out


async def test_a_forged_key_that_names_a_parked_stream_is_dropped_and_holds_up_nothing(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad = poison(around, BAD)
        for _ in range(PAGE_EVENTS):
            around.log.add(bad.stream_id, events.StockAdded(quantity=1, available=6))
        await around.publish(around.log.events[bad.position - 1 :], packed=100)
        await parks(around, BAD)
        await never_by_itself(around, BAD)
        await around.publish([bad._replace(partition_key="forged", version=9_999)])
        await parks(around, "forged")
        await unparks(around, "forged")
        mend(around, bad)
        await (await keys(around, projector)).redrive(BAD)
        await around.level()
