"""What a rebuild keeps of itself counts only for whom it was written, and in the Redis where it was seen."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from contracts.keys import READ_MODEL, Generation
from projector import redis_client
from projector.lease import Lease
from projector.rebuilding.course import Course, Done
from projector.rebuilding.worker import LEASE
from projector.store import GuardLost

NEXT = Generation(2)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def lease(redis: Redis) -> Lease:
    lease = Lease(redis, LEASE)
    assert await lease.take()
    return lease


@pytest.fixture
async def course(redis: Redis, lease: Lease) -> Course:
    course = Course(redis, NEXT, 2, "EUR")
    await course.begin(7, "product-x@1#hash", await course.stand(), lease.guard)
    return course


async def test_a_rebuild_that_is_through_leaves_a_whole_generation_at_the_position_where_it_began(
    redis: Redis, course: Course, lease: Lease
) -> None:
    await course.advance(0, Done(), Done(5, "product-x@5"), await course.stand(), lease.guard)
    for partition, done in enumerate((await course.stand()).done):
        await course.end(partition, done, await course.stand(), lease.guard)
    stand = await course.stand()
    assert (stand.events, stand.is_all, stand.whole) == (5, True, False)
    await course.finish(stand, lease.guard)
    assert (await course.stand()).whole
    assert await redis.get(NEXT.complete) == str(READ_MODEL).encode()
    assert await redis.get(NEXT.checkpoint) == b"7"
    assert await redis.get(NEXT.witness) == b"7 product-x@1#hash"
    assert await redis.get(NEXT.currency) == b"EUR"
    assert (await redis.get(NEXT.applied(1))).split()[0] == b"7"
    assert await redis.keys(f"{NEXT.rebuilding}*") == []


async def test_nothing_is_kept_in_a_redis_that_was_restarted_since_it_was_read(course: Course, lease: Lease) -> None:
    stand = replace(await course.stand(), server="another")
    with pytest.raises(GuardLost):
        await course.advance(0, Done(), Done(5, "product-x@5"), stand, lease.guard)
    with pytest.raises(GuardLost):
        await course.finish(stand, lease.guard)


async def test_nothing_is_kept_without_the_lease_or_on_another_state(course: Course, lease: Lease) -> None:
    stand = await course.stand()
    with pytest.raises(GuardLost):
        await course.advance(0, Done(3, "product-x@3"), Done(5, "product-x@5"), stand, lease.guard)
    await lease.release()
    with pytest.raises(GuardLost):
        await course.advance(0, Done(), Done(5, "product-x@5"), stand, lease.guard)


async def test_a_rebuild_begins_once(course: Course, lease: Lease) -> None:
    stand = await course.stand()
    assert (stand.start, stand.witness) == (7, "product-x@1#hash")
    with pytest.raises(GuardLost):
        await course.begin(9, "", stand, lease.guard)
