"""Tasks end when they are told to, even those that miss it once."""

import asyncio
from contextlib import suppress

import pytest

from chassis import tasks
from chassis.tasks import end, together


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "END_SECONDS", 0.01)


async def deaf(started: asyncio.Event, closed: list[str]) -> None:
    """Swallows its first cancellation, as `wait_for` does."""
    started.set()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    try:
        await asyncio.Event().wait()
    finally:
        closed.append("closed")


async def fails() -> None:
    raise ValueError("of its own")


async def test_a_task_that_swallows_a_cancellation_is_ended() -> None:
    started, closed = asyncio.Event(), list[str]()
    task = asyncio.create_task(deaf(started, closed))
    await started.wait()
    await end(task)
    assert task.cancelled() and closed == ["closed"]


async def test_what_runs_together_ends_with_a_cancellation_even_where_one_swallows_it() -> None:
    started, closed = asyncio.Event(), list[str]()
    task = asyncio.create_task(together(deaf(started, closed), asyncio.Event().wait()))
    await started.wait()
    await end(task)
    assert task.cancelled() and closed == ["closed"]


async def test_closing_is_not_cut_short_by_another_cancellation_of_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "END_SECONDS", 60.0)
    started, closing, may_close, closed = asyncio.Event(), asyncio.Event(), asyncio.Event(), list[str]()

    async def slow() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            closing.set()
            await may_close.wait()
            closed.append("closed")

    task = asyncio.create_task(together(slow()))
    await started.wait()
    task.cancel()
    await closing.wait()
    task.cancel()
    await asyncio.sleep(0)
    may_close.set()
    await asyncio.wait([task])
    assert closed == ["closed"]


async def test_a_failure_ends_the_others_and_is_raised() -> None:
    started, closed = asyncio.Event(), list[str]()

    async def fails_later() -> None:
        await started.wait()
        await fails()

    with pytest.raises(ValueError, match="of its own"):
        await together(deaf(started, closed), fails_later())
    assert closed == ["closed"]


async def test_works_that_end_by_themselves_are_waited_for() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    await together(work(1), work(2))
    assert sorted(done) == [1, 2]
