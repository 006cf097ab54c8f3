"""Verifying a generation: what is as the log says is told nothing of, whatever is not is found and named."""

import asyncio
import os
import sys
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import pytest
from projector_testing.command_service import CommandService
from projector_testing.orders import pay, place
from projector_testing.read_model import eventually
from projector_testing.shop import GENERATION, PARTITIONS, Log, ndjson, product_id
from projector_testing.trading import shop
from redis.asyncio import Redis

from chassis.tasks import end
from contracts import events, streams
from contracts.envelope import RecordedEvent
from contracts.keys import HISTORY_LENGTH, READ_MODEL, SORTS, journal_member
from projector import feed as feeds
from projector import redis_client
from projector.discards import Discards
from projector.feed import Feed
from projector.store import Store
from projector.verifying.findings import Findings
from projector.verifying.reading import Reader, Snapshot
from projector.verifying.sums import Sums
from projector.verifying.verification import Verification


@dataclass
class Level:
    """A read model that was made of a log, and is level with it."""

    redis: Redis
    service: CommandService
    feed: Feed
    discards: frozenset[str] = frozenset()
    told: list[str] = field(default_factory=list)

    async def apply(self) -> None:
        discards = Discards(self.feed)
        await discards.refresh()
        store = Store(self.redis, GENERATION, discards)
        await self.redis.set(GENERATION.complete, READ_MODEL)
        await self.redis.set(GENERATION.currency, "EUR")
        for partition in range(PARTITIONS):
            recorded = self.service.log.of_partition(partition)
            await store.apply(partition, recorded, store.whole)
        await self.redis.set(GENERATION.checkpoint, self.service.log.settled)

    async def verify(self, **options: Any) -> int:
        self.told = []
        verification = Verification(self.redis, self.feed, GENERATION, PARTITIONS, self.discards, **options)
        return await verification.run(self.told.append)


@pytest.fixture
async def level(redis_url: str) -> AsyncIterator[Level]:
    redis = redis_client.connect(redis_url)
    async with CommandService(shop(products=6, traded=300)) as service, feeds.connect(service.url) as client:
        level = Level(redis, service, Feed(client))
        await level.apply()
        yield level
    await redis.aclose()


@pytest.mark.parametrize("page", [4, 30, 1000])
async def test_a_level_read_model_has_no_difference(level: Level, page: int) -> None:
    assert await level.verify(page=page) == 0, level.told


@pytest.mark.parametrize("page", [4, 30, 1000])
async def test_what_is_as_expected_needs_no_closer_look(level: Level, page: int) -> None:
    level.service.asked.clear()
    assert await level.verify(page=page) == 0, level.told
    looked_closely = level.service.asked.count("/streams/versions")
    await level.redis.set(GENERATION.version("order-nobody"), 1)
    assert await level.verify(page=page) == 1, level.told
    assert (looked_closely, level.service.asked.count("/streams/versions")) == (0, 1)


async def test_what_is_looked_at_closely_is_told_only_if_it_is_wrong(level: Level) -> None:
    await level.redis.set(GENERATION.version("order-nobody"), 1)
    assert await level.verify(buckets=1) == 1, level.told


Damage = Callable[[Redis], Awaitable[Any]]

PRODUCT = product_id(1)
VERSION = GENERATION.version(streams.inventory_stream(PRODUCT))
BOUGHT = GENERATION.bought_with(PRODUCT)


async def key_like(redis: Redis, pattern: str) -> str:
    keys = [key.decode() async for key in redis.scan_iter(match=f"{GENERATION.prefix}{pattern}")]
    return min(keys)


def changed(pattern: str, old: bytes, new: bytes) -> Damage:
    async def damage(redis: Redis) -> None:
        key = await key_like(redis, pattern)
        before: Any = await redis.get(key)
        assert old in before
        await redis.set(key, before.replace(old, new, 1))

    return damage


def deleted(pattern: str) -> Damage:
    async def damage(redis: Redis) -> None:
        await redis.delete(await key_like(redis, pattern))

    return damage


def without_member(pattern: str, place: int = 0) -> Damage:
    async def damage(redis: Redis) -> None:
        assert await redis.zremrangebyrank(await key_like(redis, pattern), place, place)

    return damage


def with_member(pattern: str, member: bytes, score: float = 0) -> Damage:
    async def damage(redis: Redis) -> None:
        assert await redis.zadd(await key_like(redis, pattern), {member: score})

    return damage


def with_member_scored(pattern: str, score: float) -> Damage:
    async def damage(redis: Redis) -> None:
        key = await key_like(redis, pattern)
        (member,) = await redis.zrange(key, 0, 0)
        await redis.zincrby(key, score, member)

    return damage


def changed_type(pattern: str) -> Damage:
    async def damage(redis: Redis) -> None:
        key = await key_like(redis, pattern)
        await redis.set(key, "x")

    return damage


def counted(pattern: str, by: int) -> Damage:
    async def damage(redis: Redis) -> None:
        key = await key_like(redis, pattern)
        name = min(await redis.hkeys(key))
        await redis.hincrby(key, name.decode(), by)

    return damage


STRANGER = bytes(16)
INDEXES = [
    *(f"products:listed:{sort}" for sort in SORTS),
    "products:listed:price:category 1",
    "products:discontinued:name",
    "words:listed",
    "words:discontinued",
    "stock",
    "orders::",
    "orders:paid:",
    "orders::customer-1",
    "orders:paid:customer-1",
]

DAMAGES: list[tuple[str, Damage, str]] = [
    ("a product's price", changed(f"product:{PRODUCT}", b'"price":"', b'"price":"1'), "differs from the log in price"),
    ("a byte of a tag", changed("inventory:*", b"-", b"+"), "differs from the log in its bytes"),
    ("a product", deleted(f"product:{PRODUCT}"), f"{GENERATION.product(PRODUCT)} is missing"),
    ("an inventory", deleted(f"inventory:{PRODUCT}"), f"{GENERATION.inventory(PRODUCT)} is missing"),
    ("a rating", deleted("rating:*"), "is missing"),
    ("an order", deleted("order:*"), "is missing"),
    ("a summary", deleted("ordersummary:*"), "is missing"),
    ("a summary's status", changed("ordersummary:*", b'"status":"', b'"status":"x'), "differs from the log in status"),
    (
        "a product that the log doesn't have",
        lambda redis: redis.copy(GENERATION.product(PRODUCT), GENERATION.product(product_id(99))),
        f"{GENERATION.product(product_id(99))} is there, but the log knows nothing of it",
    ),
    (
        "a rating that the log doesn't have",
        lambda redis: redis.set(GENERATION.rating(PRODUCT, "nobody"), b"x"),
        f"{GENERATION.rating(PRODUCT, 'nobody')} is there, but the log knows nothing of it",
    ),
    ("a lower version", lambda redis: redis.decr(VERSION), f"{streams.inventory_stream(PRODUCT)} is at version"),
    ("a higher version", lambda redis: redis.incr(VERSION), f"{streams.inventory_stream(PRODUCT)} is at version"),
    ("no version", lambda redis: redis.delete(VERSION), f"{streams.inventory_stream(PRODUCT)} is at version 0"),
    (
        "an alert stream's version",
        lambda redis: redis.delete(GENERATION.version(streams.stock_alert_stream(PRODUCT))),
        f"{streams.stock_alert_stream(PRODUCT)} is at version 0",
    ),
    (
        "a version of a stream that the log doesn't have",
        lambda redis: redis.set(GENERATION.version("order-nobody"), 1),
        "version:order-nobody is there, but the log knows nothing of it",
    ),
    *((f"an entry of {index}", without_member(index), f"{index} lacks an entry of") for index in INDEXES),
    *(
        (f"a strange entry of {index}", with_member(index, b"x" + STRANGER), f"{index} has an entry that")
        for index in INDEXES
    ),
    ("a scored entry", with_member_scored("stock", 1.0), "stock has an entry that"),
    ("an entry too short", with_member("stock", b"x"), "stock has an entry that names no document"),
    (
        "an index of another category",
        lambda redis: redis.zadd(GENERATION.products("listed", "name", "cheese"), {STRANGER: 0}),
        "categories says nothing for cheese, which has 1",
    ),
    ("a wrong pointer", lambda redis: redis.set(GENERATION.sku("SKU-1"), product_id(2)), "sku:SKU-1 does not point to"),
    ("no pointer", lambda redis: redis.delete(GENERATION.sku("SKU-1")), "sku:SKU-1 does not point to"),
    ("an extra pointer", lambda redis: redis.set(GENERATION.sku("x"), PRODUCT), "sku:x points to"),
    ("a category's count", counted("categories", 1), "categories says"),
    ("an unknown category", lambda redis: redis.hset(GENERATION.categories, "x", 1), "categories says 1 for x"),
    ("no category", lambda redis: redis.delete(GENERATION.categories), "categories says nothing for"),
    ("a history's newest", without_member("history:product:*"), "differs from the log: lacks 1"),
    ("a history's oldest", without_member("history:order:*", -1), "differs from the log: lacks 1"),
    ("a history", deleted("history:order:*"), "differs from the log: lacks"),
    ("a strange entry of a history", with_member("history:product:*", journal_member(7, b"{}")), "too many: 1"),
    (
        "a history that the log doesn't have",
        lambda redis: redis.zadd(GENERATION.order_history("nobody"), {b"x": 0}),
        "history:order:nobody is there, but the log knows nothing of it",
    ),
    ("an alert", without_member("alerts"), "alerts lacks the alert of position"),
    ("an alert too many", with_member("alerts", journal_member(7, b"{}")), "alerts has an alert of position 7"),
    (
        "an alert too new",
        with_member("alerts", journal_member(10**6, b"{}")),
        "alerts has an alert of position 1000000",
    ),
    ("an alert that is none", with_member("alerts", b"x"), "alerts has an alert of position -1"),
    ("a day's sales", counted("sales:*", 1), "by the log it is"),
    ("a day without sales", lambda redis: redis.hset(GENERATION.sales("2026-01-01"), "orders", 1), "sales:2026-01-01"),
    ("a strange sum", lambda redis: redis.hset(GENERATION.sales("2026-11-01"), "gifts", 1), "for gifts"),
    ("no sales of a day", deleted("sales:*"), "has nothing for"),
    ("what was bought with it", with_member_scored("boughtwith:*", -1.0), "by the log it is"),
    ("too many bought with it", with_member("boughtwith:*", b"x", -1.0), "has -1 for x, by the log it is nothing"),
    ("too few bought with it", without_member("boughtwith:*"), "has nothing for"),
    ("the currency", lambda redis: redis.set(GENERATION.currency, "USD"), "currency is USD, the shop's is EUR"),
    ("a stray key", lambda redis: redis.set(GENERATION.prefix + "x", 1), "g1:x is no key of a read model"),
    ("a key of another type", lambda redis: redis.lpush(GENERATION.sku("x"), "1"), "sku:x is no string"),
    ("a history of another type", changed_type("history:product:*"), "history:product:"),
    ("the count of parked keys", lambda redis: redis.set(GENERATION.parked_in(0), 1), "the partitions count 1"),
    ("the marker", lambda redis: redis.delete(GENERATION.complete), "generation 1 is not whole"),
]


@pytest.mark.parametrize(("damage", "named"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
async def test_every_damage_is_found_and_named(level: Level, damage: Damage, named: str) -> None:
    await damage(level.redis)
    differences = await level.verify()
    assert differences == len(level.told) >= 1
    assert any(named in line for line in level.told), level.told


@pytest.mark.parametrize("index", INDEXES)
async def test_a_lacking_and_a_strange_entry_do_not_hide_each_other(level: Level, index: str) -> None:
    # It comes behind all others.
    await with_member(index, b"\xff" + STRANGER)(level.redis)
    await without_member(index)(level.redis)
    assert await level.verify() == 2
    key = GENERATION.prefix + index
    lacking, strange = sorted(level.told, reverse=True)
    assert lacking.startswith(f"{key} lacks an entry of")
    assert strange.startswith(f"{key} has an entry that")


async def test_a_missing_and_a_strange_key_do_not_hide_each_other(level: Level) -> None:
    rating = await key_like(level.redis, "rating:*")
    await level.redis.rename(rating, GENERATION.rating(PRODUCT, "nobody"))
    assert await level.verify() == 2
    assert set(level.told) == {
        f"{rating} is missing",
        f"{GENERATION.rating(PRODUCT, 'nobody')} is there, but the log knows nothing of it",
    }


async def test_a_strange_entry_is_told_though_another_leaves_its_index_meanwhile(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, placed = level.service.log, GENERATION.orders(status="placed")
    order = place(log, 99, {PRODUCT: 1})
    await level.apply()
    await level.redis.zadd(placed, {b"x" + STRANGER: 0})
    check = Sums.check

    async def meanwhile(sums: Sums) -> None:
        pay(log, order)
        await level.apply()
        await check(sums)

    monkeypatch.setattr(Sums, "check", meanwhile)
    assert await level.verify() == 1, level.told
    assert level.told[0].startswith(f"{placed} has an entry that")


async def test_an_entry_that_moved_to_another_index_is_told_of_both(level: Level) -> None:
    paid, placed = GENERATION.orders(status="paid"), GENERATION.orders(status="placed")
    (member,) = await level.redis.zrange(paid, 0, 0)
    await level.redis.zrem(paid, member)
    await level.redis.zadd(placed, {member: 0})
    assert await level.verify() == 2
    assert {line.partition(" ")[0] for line in level.told} == {paid, placed}


async def test_a_large_key_is_compared_as_exactly_as_a_small_one(level: Level) -> None:
    await changed(f"product:{PRODUCT}", b'"rating_count":', b'"rating_count":1')(level.redis)
    await without_member(f"history:product:{PRODUCT}")(level.redis)
    assert await level.verify(page=5) == 2
    assert [line.partition(" differs from the log")[0] for line in level.told] == [
        GENERATION.product(PRODUCT),
        GENERATION.product_history(PRODUCT),
    ]


async def test_a_history_of_more_than_is_kept_has_the_newest(level: Level) -> None:
    for _ in range(HISTORY_LENGTH + 200):
        level.service.log.add(streams.inventory_stream(PRODUCT), events.StockAdded(quantity=1, available=1))
    await level.apply()
    assert await level.verify(page=500) == 0, level.told
    history = GENERATION.product_history(PRODUCT)
    await level.redis.zremrangebyrank(history, 0, 0)
    await level.redis.zadd(history, {journal_member(1, b"{}"): 0})
    assert await level.verify(page=500) == 1
    assert "lacks 1" in level.told[0] and "too many: 1 (of position 1)" in level.told[0]


def add_poison(log: Log, stream: str) -> RecordedEvent:
    """An event that no code can read, and one behind it."""
    price = events.PriceChanged(price="1.00", previous_price="2.00")
    poison = log.add(stream, price, type="Unheard")
    log.add(stream, price)
    return poison


async def test_parked_keys_are_told_and_are_no_difference(level: Level) -> None:
    log = level.service.log
    add_poison(log, streams.product_stream(PRODUCT))
    log.add(streams.rating_stream(PRODUCT, "u"), events.ProductRated(user_id="u", rating=3))
    order = place(log, 99, {PRODUCT: 1, product_id(2): 2})
    add_poison(log, streams.order_stream(order))
    pay(log, order)
    await level.apply()
    assert await level.verify() == 0, level.told
    assert await level.verify(page=5) == 0, level.told
    told = sorted(line.split(",")[0] for line in level.told)
    assert told == sorted([f"parked: {PRODUCT}", f"parked: {order}"])


async def test_what_a_parked_key_has_must_be_that_of_its_versions(level: Level) -> None:
    add_poison(level.service.log, streams.product_stream(PRODUCT))
    await level.apply()
    await changed(f"product:{PRODUCT}", b'"updated_at":"2', b'"updated_at":"3')(level.redis)
    assert await level.verify() == 1
    assert f"{GENERATION.product(PRODUCT)} differs from the log in updated_at" in level.told


@pytest.mark.parametrize("known", [True, False], ids=["discarded before", "discarded meanwhile"])
async def test_discarded_events_count_without_effect(level: Level, known: bool) -> None:
    log = level.service.log
    order = place(log, 99, {PRODUCT: 1, product_id(2): 2})
    discarded = [add_poison(log, streams.product_stream(PRODUCT)).id, pay(log, order).id]
    level.service.discards = dict.fromkeys(discarded, "a test")
    await level.apply()
    assert not await level.redis.exists(GENERATION.parked)
    level.discards = frozenset(discarded if known else ())
    assert await level.verify() == 0, level.told


async def test_orders_of_too_many_products_do_not_say_what_is_bought_together(level: Level) -> None:
    log = level.service.log
    pay(log, place(log, 98, {product_id(n): 1 for n in range(1000, 1101)}))
    pay(log, place(log, 99, {product_id(n): 1 for n in range(1000, 1100)}))
    await level.apply()
    assert await level.verify() == 0, level.told


async def test_what_is_not_applied_yet_is_waited_for(level: Level) -> None:
    stream = streams.rating_stream(PRODUCT, "u")
    level.service.log.add(stream, events.ProductRated(user_id="u", rating=1))
    verifying = asyncio.ensure_future(level.verify())

    async def looked_again() -> bool:
        return level.service.asked.count("/streams/versions") >= 3

    try:
        await eventually(looked_again, "it looks again and again")
        await level.apply()
        assert await verifying == 0, level.told
    finally:
        await end(verifying)


async def test_a_large_key_that_never_stands_still_is_compared_exactly(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Reader.snapshot

    async def overtaken(reader: Reader, partitions: Sequence[int] = (), **what: Any) -> Snapshot:
        if partitions and GENERATION.product(PRODUCT) in what.get("documents", ()):
            user = f"u{level.service.log.settled}"
            rated = events.ProductRated(user_id=user, rating=1)
            level.service.log.add(streams.rating_stream(PRODUCT, user), rated)
            await level.apply()
        return await snapshot(reader, partitions, **what)

    before = level.service.log.settled
    monkeypatch.setattr(Reader, "snapshot", overtaken)
    assert await level.verify(page=5) == 0, level.told
    assert level.service.log.settled == before + 1


async def test_what_does_not_come_is_told_once_patience_is_over(level: Level) -> None:
    stream = streams.rating_stream(PRODUCT, "u")
    level.service.log.add(stream, events.ProductRated(user_id="u", rating=1))
    assert await level.verify(patience=0.1) == 1
    assert level.told == [f"{stream} is at version 0, the log at 1"]


def without_its_last(log: Log) -> Log:
    """As an older backup has it."""
    restored = Log()
    for event in log.events[:-1]:
        known = event._asdict()
        restored.add(known.pop("stream_id"), events.ProductRelisted(), **known)
    return restored


async def test_a_log_that_is_behind_redis_is_told(level: Level) -> None:
    log = level.service.log
    last = log.add(streams.inventory_stream(PRODUCT), events.StockAdded(quantity=1, available=1))
    await level.apply()
    level.service.log = without_its_last(log)
    assert await level.verify(patience=0.1) >= 2
    assert any(f"{last.stream_id} is at version {last.version}, the log at" in line for line in level.told)
    assert f"Redis has applied position {last.position}, but the log ends at {last.position - 1}" in level.told


async def test_a_generation_of_other_code_is_not_compared(level: Level) -> None:
    await level.redis.set(GENERATION.complete, READ_MODEL + 1)
    assert await level.verify() == 1
    assert "version 2 of the read model" in level.told[0]


async def test_a_generation_that_is_lost_meanwhile_is_told_as_such(level: Level) -> None:
    told: list[str] = []

    def flushing(findings: Findings) -> None:
        if findings.events:
            flush.append(asyncio.ensure_future(level.redis.flushall()))

    flush: list[asyncio.Future[Any]] = []
    verification = Verification(level.redis, level.feed, GENERATION, PARTITIONS, frozenset(), page=30, watch=flushing)
    assert await verification.run(told.append) == len(told)
    await asyncio.gather(*flush)
    assert told[-1] == "generation 1 is not whole: g1:complete is absent"


class Sorted(CommandService):
    """Answers from a log that stays as it is, in little memory of its own."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._by_partition = [
            sorted(log.of_partition(p), key=attrgetter("partition_key", "stream_id", "version"))
            for p in range(PARTITIONS)
        ]
        self._places = [{e.id: n for n, e in enumerate(events_, 1)} for events_ in self._by_partition]

    def _partition(self, number: int, after: str | None, limit: int) -> Any:
        begin = self._places[number][after] if after is not None else 0
        return 200, "application/x-ndjson", ndjson(self._by_partition[number][begin : begin + limit])


@pytest.mark.parametrize("closely", [False, True])
async def test_memory_does_not_grow_with_the_shop(redis_url: str, closely: bool) -> None:
    peaks = []
    for size in (1, 20):
        log = shop(products=8 * size, traded=80 * size)
        redis = redis_client.connect(redis_url)
        await redis.flushall()
        async with Sorted(log) as service, feeds.connect(service.url) as client:
            level = Level(redis, service, Feed(client))
            await level.apply()
            service.asked = deque(maxlen=0)
            if closely:
                await redis.set(GENERATION.version("order-nobody"), 1)
            tracemalloc.start()
            assert await level.verify(page=20, buckets=1) == closely, level.told
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        await redis.aclose()
    assert peaks[1] < 2 * peaks[0], peaks


@pytest.fixture
def projector(level: Level, redis_url: str) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """The command, as a process of its own: exit code, standard output and standard error."""

    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        urls = {"STOCKROOM_REDIS_URL": redis_url, "STOCKROOM_COMMAND_URL": level.service.url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from projector.cli import app; app()", *arguments),
            env=os.environ | urls | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return run


async def test_the_command_prints_differences_and_its_exit_code_says_whether_there_are(
    level: Level, projector: Callable[..., Awaitable[tuple[int, str, str]]]
) -> None:
    code, out, err = await projector("verify")
    assert (code, out) == (0, "")
    assert err.startswith(f"generation 1: {level.service.log.settled} events, ")
    assert err.endswith(": 0 difference(s), 0 parked key(s)\n")
    await level.redis.set(GENERATION.prefix + "x", 1)
    code, out, err = await projector("verify")
    assert (code, out) == (1, "g1:x is no key of a read model\n")
    code, out, err = await projector("verify", "--generation", "2")
    assert (code, out) == (1, "generation 2 is not whole: g2:complete is absent\n")


async def test_the_command_says_which_server_cant_be_reached(
    level: Level, projector: Callable[..., Awaitable[tuple[int, str, str]]]
) -> None:
    code, out, err = await projector("verify", STOCKROOM_REDIS_URL="redis://127.0.0.1:1")
    assert (code, out, err.splitlines()[-1]) == (2, "", "Redis can't be reached: ConnectionError")
    level.service.failing = True
    code, out, err = await projector("verify")
    assert (code, out, err) == (2, "", "the command service can't be reached: the command service answers 503\n")
