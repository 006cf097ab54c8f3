"""What is bound to a task is in all that it logs, and in nothing that others log."""

import asyncio
from typing import Any

import pytest

from chassis import logging


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a line that is logged now would carry."""
    monkeypatch.setattr(logging, "_bound", type(logging._bound)("test", default=logging._NOTHING))
    return lambda: logging._add_bound(None, "info", {})


async def test_a_task_that_works_on_one_thing_after_the_other_logs_the_one_that_it_is_at(logged: Any) -> None:
    for number in range(1_000):
        logging.bind("command_id", f"c{number}")
        logging.bind("traceparent", None if number % 2 else f"t{number}")
    assert logged() == {"command_id": "c999"}
    assert len(logging._bound.get()) == 2  # what it was at before is forgotten


async def test_what_a_task_binds_is_not_in_what_others_log(logged: Any) -> None:
    logging.bind("correlation_id", "all")

    async def work(name: str) -> Any:
        logging.bind("command_id", name)
        await asyncio.sleep(0)
        return logged()

    both = await asyncio.gather(asyncio.create_task(work("a")), asyncio.create_task(work("b")))
    assert both == [{"correlation_id": "all", "command_id": name} for name in ("a", "b")]
    assert logged() == {"correlation_id": "all"}


async def test_what_is_said_of_a_line_itself_goes_before_what_is_bound(logged: Any) -> None:
    logging.bind("command_id", "bound")
    assert logging._add_bound(None, "info", {"command_id": "said"}) == {"command_id": "said"}
