"""What the feed makes of the command service's answers."""

from collections.abc import AsyncIterator
from itertools import groupby

import pytest
from projector_testing.command_service import CommandService
from projector_testing.shop import PARTITIONS
from projector_testing.trading import shop

from projector import feed as feeds
from projector.feed import Feed, FeedUnavailable, Refused


@pytest.fixture
async def service() -> AsyncIterator[CommandService]:
    async with CommandService(shop()) as serving:
        yield serving


@pytest.fixture
async def feed(service: CommandService) -> AsyncIterator[Feed]:
    async with feeds.connect(service.url) as client:
        yield Feed(client)


async def test_a_partition_is_paged_key_by_key_and_stream_by_stream(feed: Feed, service: CommandService) -> None:
    found = []
    for partition in range(PARTITIONS):
        after = None
        while page := await feed.partition_events(partition, after, 7):
            found += page
            after = page[-1].id
    assert sorted(e.position for e in found) == [e.position for e in service.log.events]
    keys = [key for key, _ in groupby(e.partition_key for e in found)]
    assert len(keys) == len(set(keys))


async def test_versions_are_those_of_the_log_and_0_of_what_it_does_not_have(
    feed: Feed, service: CommandService
) -> None:
    event = service.log.events[0]
    assert await feed.versions([event.stream_id, "product-x"]) == [service.log.version(event.stream_id), 0]
    assert await feed.versions([]) == []


async def test_generations_are_registered_switched_and_dropped(feed: Feed) -> None:
    assert await feed.new_generation(0) == 2
    with pytest.raises(Refused, match="generation 2 is being built"):
        await feed.new_generation(0)
    await feed.switch(2)
    registry = await feed.generations()
    assert (registry.live, [(g.number, g.status) for g in registry.generations]) == (2, [(1, "kept"), (2, "live")])
    with pytest.raises(Refused, match="live"):
        await feed.drop(2)
    await feed.drop(1)
    with pytest.raises(Refused, match="no generation 1"):
        await feed.switch(1)
    assert (await feed.generations()).status(1) is None
    assert await feed.new_generation(7) == 8


async def test_a_discard_is_kept_with_its_first_reason(feed: Feed, service: CommandService) -> None:
    event = service.log.events[0]
    await feed.discard(event.id, "broken")
    await feed.discard(event.id, "again")
    assert [(d.event_id, d.partition_key, d.reason) for d in await feed.discards()] == [
        (event.id, event.partition_key, "broken")
    ]
    with pytest.raises(Refused, match="no event"):
        await feed.discard("product-00000000-0000-0000-0000-000000000000@1", "x")


async def test_a_command_service_that_does_not_answer_as_agreed_is_unavailable(
    feed: Feed, service: CommandService
) -> None:
    service.failing = True
    for asking in (feed.generations(), feed.new_generation(0), feed.versions(["x"]), feed.discards()):
        with pytest.raises(FeedUnavailable):
            await asking
