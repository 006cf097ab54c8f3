"""A lone event is handled at once; what comes while a manager rests after it is handled together."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from command_service.processes import together as module
from command_service.processes.together import REST_SECONDS, Together
from contracts.envelope import RecordedEvent


def event(name: str) -> list[RecordedEvent]:
    return [cast(RecordedEvent, name)]


async def test_what_comes_during_the_rest_after_a_batch_is_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[Any]] = []
    resting, rested = asyncio.Event(), asyncio.Event()
    really_sleep = asyncio.sleep

    async def handle_all(events: Sequence[RecordedEvent]) -> None:
        batches.append(list(events))

    async def rest(seconds: float) -> None:
        assert seconds == REST_SECONDS
        resting.set()
        await rested.wait()

    monkeypatch.setattr(module.asyncio, "sleep", rest)
    together = Together(handle_all)
    running = asyncio.create_task(together.run())
    async with asyncio.timeout(10):
        await together.handle(event("first"))
        await resting.wait()
        later = [asyncio.create_task(together.handle(event(name))) for name in ("second", "third")]
        for _ in range(10):
            await really_sleep(0)
        assert batches == [["first"]]
        rested.set()
        await asyncio.gather(*later)
    assert batches == [["first"], ["second", "third"]]
    running.cancel()


async def test_what_stops_a_batch_is_told_to_all_of_it_and_the_next_one_is_handled() -> None:
    failures = [ConnectionResetError()]

    async def handle_all(_events: Sequence[RecordedEvent]) -> None:
        if failures:
            raise failures.pop()

    together = Together(handle_all)
    both = [asyncio.create_task(together.handle(event(name))) for name in ("first", "second")]
    await asyncio.sleep(0)
    running = asyncio.create_task(together.run())
    async with asyncio.timeout(10):
        for handled in both:
            with pytest.raises(ConnectionResetError):
                await handled
        await together.handle(event("third"))
    running.cancel()
