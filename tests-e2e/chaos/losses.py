"""What is done to data: a read store that lost something, a broker that lost, doubled or mixed up messages."""

import asyncio
import json
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Final

import aio_pika
import asyncpg

from chaos.faults import Fault, Skipped, linger
from chaos.shop import Shop
from contracts.envelope import Metadata, RecordedEvent, encode, encode_batch, kinds_in, rfc3339
from contracts.topology import (
    CONTENT_TYPE_EVENTS,
    DEFAULT_PARTITIONS,
    EVENTS_EXCHANGE,
    EventQueue,
    further_routing,
    read_model_subscriber,
    routing_key,
)
from stockroom_local.servers.redis import RedisEngine

MANAGERS: Final = ("payment-deadlines", "stock-alerts")
FOLLOWED: Final = ("order", "inventory")
"""The kinds of streams that they follow."""


def flush(shop: Shop, _random: Random) -> str:
    shop.servers.redis.empty()
    return "FLUSHALL"


def _append_only_files(shop: Shop) -> Path:
    engine = shop.servers.redis.engine
    if not isinstance(engine, RedisEngine):
        raise Skipped("needs Redis' files")
    return engine.folder / "data" / "appendonlydir"


def old_copy(shop: Shop, random: Random) -> str:
    """Redis comes back with what it held a while ago; sometimes with a copy of long ago."""
    files = _append_only_files(shop)
    copy = shop.home / "old-redis"
    shop.servers.redis.kill()
    is_old = copy.exists() and random.random() < 0.5
    if not is_old:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(files, copy)
        shop.servers.redis.start()
        linger(random, 1, 4)
        shop.servers.redis.kill()
    shutil.rmtree(files)
    shutil.copytree(copy, files)
    shop.servers.redis.start()
    return "of long ago" if is_old else "of a few seconds ago"


def old_copy_meanwhile(shop: Shop, random: Random) -> str:
    """The same, while no projector runs that could see it happen."""
    projectors = shop.all["projector"]
    for process in projectors:
        process.kill()
    try:
        told = old_copy(shop, random)
    finally:
        for process in projectors:
            process.start(ready=False)
    return told


def lost_second(shop: Shop, random: Random) -> str:
    """Redis crashes with the end of its append-only file not on disk yet."""
    files = _append_only_files(shop)
    shop.servers.redis.kill()
    newest = max(files.glob("*.incr.aof"), key=lambda file: int(file.name.split(".")[-3]))
    size = newest.stat().st_size
    lost = min(size, random.randrange(1, 200_000))
    with newest.open("r+b") as file:
        file.truncate(size - lost)
    shop.servers.redis.start()
    return f"{lost} bytes of its end"


def _with_channel(shop: Shop, work: Callable[[aio_pika.abc.AbstractChannel], Awaitable[str]]) -> str:
    async def run() -> str:
        async with await aio_pika.connect(shop.servers.rabbitmq.url, timeout=10) as connection:
            return await work(await connection.channel(publisher_confirms=True))

    return asyncio.run(run())


def _queues(shop: Shop, random: Random) -> list[str]:
    """Some queues of the live read model and of the process managers."""
    generation = shop.live_generation()
    names = [EventQueue(s, p).name for s in (read_model_subscriber(generation), *MANAGERS) for p in range(8)]
    return random.sample(names, 10)


def _while_nobody_reads(shop: Shop, random: Random, work: Callable[[], str]) -> str:
    """Subscribers stand still and disconnected, so that messages wait in the queues and are really lost."""
    frozen = [*shop.all["projector"], *shop.all["processes"]]
    for process in frozen:
        process.send(signal.SIGSTOP)
    try:
        for process in frozen:
            shop.proxies[process.name, "rabbitmq"].drop()
        linger(random, 0.5, 1.5)
        return work()
    finally:
        for process in frozen:
            process.send(signal.SIGCONT)


def purge(shop: Shop, random: Random) -> str:
    names = _queues(shop, random)

    async def work(channel: aio_pika.abc.AbstractChannel) -> str:
        lost = 0
        for name in names:
            lost += (await (await channel.get_queue(name, ensure=False)).purge()).message_count or 0
        return f"{lost} messages of {len(names)} queues"

    return _while_nobody_reads(shop, random, lambda: _with_channel(shop, work))


def delete_queues(shop: Shop, random: Random) -> str:
    names = _queues(shop, random)

    async def work(channel: aio_pika.abc.AbstractChannel) -> str:
        for name in names:
            await channel.queue_delete(name)
        return f"{len(names)} queues"

    return _while_nobody_reads(shop, random, lambda: _with_channel(shop, work))


def duplicate(shop: Shop, random: Random) -> str:
    """What was published already comes again, mixed up, in messages of any size."""
    events = _some_events(shop, random)

    async def work(channel: aio_pika.abc.AbstractChannel) -> str:
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        partitions: dict[int, list[str]] = {}
        for partition, event in events:
            partitions.setdefault(partition, []).append(encode(event).decode())
        for partition, its in partitions.items():
            random.shuffle(its)
            while its:
                count = random.randrange(1, 40)
                batch, its = its[:count], its[count:]
                body = encode_batch(batch)
                await exchange.publish(_message(body, partition, kinds_in(body)), routing_key(partition))
        return f"{len(events)} events"

    return _with_channel(shop, work)


def _some_events(shop: Shop, random: Random) -> list[tuple[int, RecordedEvent]]:
    """(partition, event): a stretch of the log, often its end, with gaps in it."""

    async def run() -> list[tuple[int, RecordedEvent]]:
        connection = await asyncpg.connect(shop.servers.postgres.url)
        try:
            last: int = await connection.fetchval("SELECT coalesce(max(position), 0) FROM events")
            low = max(0, last - 400) if random.random() < 0.6 else random.randrange(0, last + 1)
            rows = await connection.fetch("SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT 400", low)
        finally:
            await connection.close()
        return [(row["partition"], recorded(row)) for row in rows]

    return [each for each in asyncio.run(run()) if random.random() < 0.8]


def recorded(row: Any) -> RecordedEvent:
    """A row of the log as the event that was published."""
    metadata, at = Metadata(**json.loads(row["metadata"])), rfc3339(row["recorded_at"])
    return RecordedEvent(
        position=row["position"],
        stream_id=row["stream_id"],
        version=row["version"],
        partition_key=row["partition_key"],
        type=row["type"],
        schema_version=row["schema_version"],
        data=json.loads(row["data"]),
        time=metadata.effective_at or at,
        recorded_at=at,
        metadata=metadata,
    )


def _message(body: bytes, partition: int, kinds: Iterable[str]) -> aio_pika.Message:
    """To whoever follows these kinds of streams, and to who follows all."""
    headers = further_routing(partition, kinds)
    return aio_pika.Message(body, headers=headers, content_type=CONTENT_TYPE_EVENTS, delivery_mode=2)


def garbage(shop: Shop, random: Random) -> str:
    """What is no event at all, and an old event in a form that only a newer version of us could know."""
    known = next((event for _, event in _some_events(shop, random)), None)
    bodies = [b"\xff\x00 no JSON", b'{"not": "an array"}', b'[{"specversion": "1.0"}]', b"[[[[", b"[]"]
    if known is not None:
        later = json.loads(encode(known)) | {"schemaversion": 99}
        bodies.append(json.dumps([later]).encode())

    async def work(channel: aio_pika.abc.AbstractChannel) -> str:
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        for body in bodies:
            partition = random.randrange(DEFAULT_PARTITIONS)
            await exchange.publish(_message(body, partition, FOLLOWED), routing_key(partition))
        return f"{len(bodies)} messages"

    return _with_channel(shop, work)


FAULTS: Final = (
    Fault("flush redis", flush),
    Fault("old copy of redis", old_copy),
    Fault("old copy, projectors down", old_copy_meanwhile),
    Fault("redis lost its last second", lost_second),
    Fault("purge queues", purge),
    Fault("delete queues", delete_queues),
    Fault("duplicate and reorder", duplicate, is_excuse=False, is_alone=True),
    Fault("unreadable messages", garbage, is_excuse=False, is_alone=True),
)
