"""The whole projector against a real broker and a real Redis: whatever is lost or comes twice, it equals the log."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aio_pika.exceptions import AMQPError
from projector_testing.orders import place
from projector_testing.read_model import copy_of, equals_log, eventually, restore
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, PARTITIONS, Log, add_product, message, order_id, product_id
from projector_testing.trading import shop, trade

from chassis.consumer import priority
from contracts import events, streams
from contracts.keys import LIVE
from contracts.topology import partition_of
from projector import metrics
from projector.feed import Head
from projector.healing import NotSettled


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


async def one_dead_letter(around: World) -> None:
    async def kept() -> bool:
        return await around.dead_letters() == 1

    await eventually(kept, "the message is in the dead-letter queue")


async def test_a_first_start_projects_the_whole_log_and_makes_the_generation_live(around: World) -> None:
    async with around.projector() as projector:
        await around.level()
        await around.ready(projector)
    assert await around.redis.get(LIVE) == b"1"
    assert await around.redis.get(GENERATION.currency) == b"EUR"
    assert int(await around.redis.get(GENERATION.checkpoint)) == around.log.settled


async def test_an_empty_shop_is_whole_at_once(around: World) -> None:
    around.log.events.clear()
    async with around.projector():
        await around.level()
    assert await around.redis.get(LIVE) == b"1"


async def test_published_events_are_applied_and_acknowledged(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        new = trade(around.log, [product_id(n) for n in range(1, 6)], 500, seed=2).events[60:]
        await around.publish(new)
        await around.level()

        async def all_taken() -> bool:
            return await around.queued() == 0

        await eventually(all_taken, "the queues are empty")
    # What was not acknowledged would be back in the queues now.
    await eventually(all_taken, "nothing was left unacknowledged")


def order_beside(log: Log, product: str) -> str:
    """An order whose partition is the product's, and what it reserves: a token of both names the stock alone."""
    partition = partition_of(product, PARTITIONS)
    number = next(n for n in range(100, 200) if partition_of(order_id(n), PARTITIONS) == partition)
    order = streams.order_stream(place(log, number, {product: 1}))
    log.add(streams.inventory_stream(product), events.StockReserved(order_id=order_id(number), quantity=1, available=5))
    return order


async def versions(around: World, *names: str) -> list[int]:
    return [int(v or 0) for v in await around.redis.mget([GENERATION.version(name) for name in names])]


async def test_events_that_come_twice_and_in_disorder_are_applied_once(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        new = trade(around.log, [product_id(n) for n in range(1, 6)], 200, seed=3).events[60:]
        await around.publish(new[100:], packed=7)
        await around.publish(new[:100], packed=5)
        await around.publish(new, packed=3)
        await around.level()


async def test_a_gap_is_healed_from_the_log_before_later_events_of_the_partition(around: World) -> None:
    product = add_product(around.log, 50)
    inventory = streams.inventory_stream(product)
    async with around.projector() as projector:
        await around.ready(projector)
        healed = metrics.GAPS_HEALED._value.get()
        # Lost in one message: the price's change and stock; only the stock's stream shows it by a gap.
        around.log.add(streams.product_stream(product), events.PriceChanged(price="7.00", previous_price="18.00"))
        around.log.add(inventory, events.StockAdded(quantity=1, available=6))
        last = around.log.add(inventory, events.StockAdded(quantity=1, available=6))
        projector.pipeline.walk._interval = 3600  # type: ignore[union-attr]
        await around.publish([last])
        await around.level()
        assert metrics.GAPS_HEALED._value.get() > healed


async def test_a_gap_is_not_healed_before_it_is_known_what_was_lost_with_it(around: World) -> None:
    product = add_product(around.log, 50)
    stock = streams.inventory_stream(product)
    async with around.projector() as projector:
        await around.ready(projector)
        order = order_beside(around.log, product)
        last = around.log.add(stock, events.StockAdded(quantity=1, available=6))
        around.log.unsettled = 3
        assert projector.pipeline is not None
        heal, guard = projector.pipeline.walk._healing.apply, projector.pipeline.progress.whole
        with pytest.raises(NotSettled):
            await heal(partition_of(product, PARTITIONS), [last], guard, behind_too=True)
        assert await versions(around, stock, order) == [1, 0]
        around.log.unsettled = 1
        await heal(partition_of(product, PARTITIONS), [last], guard, behind_too=True)
        assert await versions(around, stock, order) == [3, 1]


async def test_the_walk_brings_nothing_without_what_comes_before_it(around: World) -> None:
    product = add_product(around.log, 50)
    stock = streams.inventory_stream(product)
    async with around.projector() as projector:
        await around.ready(projector)
        around.log.add(stock, events.StockAdded(quantity=1, available=6))
        # What is committed behind the stretch that the walk looks at: the same stream goes on, and a new one begins.
        order = order_beside(around.log, product)
        around.log.unsettled = 2

        async def found() -> bool:
            return await versions(around, stock) >= [2]

        await eventually(found, "the lost event is brought")
        assert await versions(around, stock, order) == [2, 0]
        around.log.unsettled = 0
        await around.level()


async def test_the_walk_brings_what_is_missing_before_what_is_lost_and_leaves_the_rest_to_the_queues(
    around: World,
) -> None:
    product = add_product(around.log, 50)
    stock = streams.inventory_stream(product)
    async with around.projector() as projector:
        await around.ready(projector)
        assert projector.pipeline is not None
        walk, checkpoint = projector.pipeline.walk, around.log.settled
        order = order_beside(around.log, product)
        reserved = around.log.settled
        around.log.add(order, events.OrderPaid(amount="2.50", reference="transfer 4711"))
        around.log.unsettled = 3  # the walk that runs sees nothing of it
        partition = partition_of(product, PARTITIONS)
        lost = Head(stock, partition, 2, reserved)
        missing = [Head(order, partition, 2, reserved + 1), lost]
        await walk._bring([lost], missing, checkpoint, reserved + 1, projector.pipeline.progress.whole)
        assert await versions(around, stock, order) == [2, 1]


async def test_a_lost_tail_is_found_by_the_walk(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        trade(around.log, [product_id(1), product_id(2)], 30, seed=4)
        await around.level()


async def test_many_lost_tails_are_replayed_from_the_log(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        for number in range(100, 300):
            add_product(around.log, number)
        await around.level()


async def test_a_flush_is_repaired_while_idle(around: World) -> None:
    async with around.projector() as projector:
        await around.level()
        await around.ready(projector)
        for _ in range(3):
            await around.redis.flushall()
            await around.level()
    assert await around.redis.get(LIVE) == b"1"


async def test_a_flush_under_load_loses_nothing(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        for seed in range(5):
            before = around.log.settled
            trade(around.log, [product_id(n) for n in range(1, 6)], 300, seed=seed)
            sending = asyncio.create_task(around.publish(around.log.events[before:], packed=3))
            await around.redis.flushall()
            await sending
        await around.level()


async def test_an_old_copy_of_redis_is_brought_level(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        old = await copy_of(around.redis)
        trade(around.log, [product_id(n) for n in range(1, 6)], 300, seed=9)
        await around.level()
        await restore(around.redis, old)
        await around.level()


async def test_a_generation_whose_repair_was_interrupted_goes_on_from_its_checkpoint(around: World) -> None:
    async with around.projector():
        await around.level()
    await around.redis.delete(GENERATION.complete)
    add_product(around.log, 77)
    around.service.asked.clear()
    async with around.projector():
        await around.level()
    assert around.service.asked.count("/events") == 2


async def test_messages_are_held_while_the_generation_is_not_whole(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.failing = True
        await around.redis.flushall()
        product = add_product(around.log, 60)
        await around.publish(around.log.events[-2:])

        async def held() -> bool:
            return bool(await around.redis.dbsize() <= 3) and "/events" in around.service.asked

        await eventually(held, "nothing is written but pointer, lease and schema")
        assert await around.redis.get(GENERATION.product(product)) is None
        around.service.failing = False
        await around.level()


async def test_a_message_is_acknowledged_after_it_was_applied_and_not_before(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.failing = True
        await around.redis.flushall()
        add_product(around.log, 61)
        await around.publish(around.log.events[-2:])

        async def in_hand() -> bool:
            return await around.queued() == 0

        await eventually(in_hand, "the message was delivered")

    async def given_back() -> bool:
        return await around.queued() == 1

    await eventually(given_back, "the message is in its queue again")
    around.service.failing = False
    async with around.projector():
        await around.level()


async def test_poison_stops_its_key_only_and_goes_on_when_it_can_be_read(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        bad, good = product_id(1), product_id(2)
        poison = around.log.add(
            streams.inventory_stream(bad), events.StockAdded(quantity=1, available=6), type="StockTeleported"
        )
        around.log.add(streams.product_stream(bad), events.PriceChanged(price="1.00", previous_price="2.00"))
        fine = around.log.add(streams.product_stream(good), events.PriceChanged(price="3.00", previous_price="2.00"))
        await around.publish(around.log.events[-3:])

        async def parked() -> bool:
            applied = await around.redis.get(GENERATION.version(fine.stream_id))
            return bool(await around.redis.hexists(GENERATION.parked, bad) and applied == str(fine.version).encode())

        await eventually(parked, "the good key is applied, the bad one parked")

        async def walked_past() -> bool:
            return int(await around.redis.get(GENERATION.checkpoint)) == around.log.settled

        await eventually(walked_past, "the walk excuses the parked streams")
        late = around.log.add(streams.rating_stream(bad, "u"), events.ProductRated(user_id="u", rating=4))
        await around.publish([late])
        around.log.events[poison.position - 1] = poison._replace(type="StockAdded")
        await around.level()
        assert await around.redis.hlen(GENERATION.parked) == 0
        assert await around.redis.keys(GENERATION.parked_in(0)[:-1] + "*") == []


@pytest.mark.parametrize("user", ["nobody", "x" * 100_000, "ü / \x00 ?"])
async def test_an_event_of_a_stream_that_cant_be_in_the_log_is_dropped(around: World, user: str) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        stream = streams.rating_stream(product_id(1), user)
        event = events.ProductRated(user_id=user, rating=1)
        left_out = metrics.LEFT_OUT._value.get()
        await around.publish([Log().add(stream, event, version=7)])

        async def parked() -> bool:
            return metrics.LEFT_OUT._value.get() > left_out

        await eventually(parked, "the event is parked")
        before = around.log.settled
        trade(around.log, [product_id(1)], 20, seed=1)
        await around.publish(around.log.events[before:])
        await around.level()


async def test_an_event_that_the_log_does_not_have_stops_its_key_and_is_dropped(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.level()
        stream = streams.product_stream(product_id(1))
        real = len(around.log.of_stream(stream))
        fields = around.log.of_stream(stream)[0]
        forged = fields._replace(version=real + 5, position=10_000, type="ProductRelisted", data={})
        parked = metrics.LEFT_OUT._value.get()
        await around.publish([forged])

        async def seen() -> bool:
            return metrics.LEFT_OUT._value.get() > parked

        await eventually(seen, "the forged event is parked")

        async def unparked() -> bool:
            return await around.redis.hlen(GENERATION.parked) == 0 and await equals_log(around.redis, around.log)

        await eventually(unparked, "the key goes on with what the log has")


@pytest.mark.parametrize(
    "body",
    [b"not json", b"{}", b"[1]", b"[{}]", b"\xff\xfe", b"[" * 10_000, b'[{"sequence": "x"}]'],
    ids=["text", "object", "number", "empty", "bytes", "deep", "half"],
)
async def test_an_unreadable_message_is_kept_as_a_dead_letter_and_stops_nobody(around: World, body: bytes) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.publish_raw(0, body)
        before = around.log.settled
        trade(around.log, [product_id(n) for n in range(1, 6)], 30, seed=5)
        await around.publish(around.log.events[before:])
        await around.level()
        await one_dead_letter(around)


async def test_a_message_with_a_broken_event_is_a_dead_letter_and_its_good_events_come_from_the_log(
    around: World,
) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        add_product(around.log, 61)
        documents = [{"sequence": "1", "subject": 5}, *orjson.loads(message(around.log.events[-2:]))]
        await around.publish_raw(0, orjson.dumps(documents))
        await around.level()  # perhaps by the walk, before the message has come
        await one_dead_letter(around)


async def test_deleted_queues_are_declared_again_and_what_they_held_is_healed(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.delete_queues()
        before = around.log.settled
        trade(around.log, [product_id(n) for n in range(1, 6)], 30, seed=6)
        await around.level()
        await around.ready(projector)

        async def declared() -> bool:
            try:
                await around.publish(around.log.events[before:])
                return await around.queued() == 0
            except AMQPError:
                # Not declared yet.
                return False

        await eventually(declared, "the queues are consumed again")


async def test_two_projectors_share_the_work_and_one_takes_over(around: World) -> None:
    async with around.projector() as second:
        async with around.projector() as first:
            await around.ready(first)
            await around.ready(second)
            before = around.log.settled
            trade(around.log, [product_id(n) for n in range(1, 6)], 200, seed=7)
            await around.publish(around.log.events[before:])
            await around.level()
        before = around.log.settled
        trade(around.log, [product_id(n) for n in range(1, 6)], 200, seed=8)
        await around.publish(around.log.events[before:])
        await around.level()


async def test_a_projector_starts_before_any_server_answers(rabbitmq_url: str, redis_url: str) -> None:
    async with world(shop(), rabbitmq_url, redis_url) as around:
        around.service.failing = True
        async with around.projector() as projector:
            ready, checks = await projector.health.ready()
            assert not ready
            assert checks["command_service"] != "ok"
            around.service.failing = False
            await around.level()
            await around.ready(projector)


def test_every_instance_ranks_the_partitions_in_its_own_order() -> None:
    ranks = {instance: [priority(instance, p) for p in range(64)] for instance in ("one", "two")}
    preferred = sum(a > b for a, b in zip(ranks["one"], ranks["two"], strict=True))
    assert 16 < preferred < 48
    assert ranks["one"] == [priority("one", p) for p in range(64)]
