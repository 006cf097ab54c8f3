"""Commands through Stockroom's own mediator and executor, without HTTP: to measure them, and to fill a shop.

`{"workload", "arguments", "in_flight", "ready"}`: commands as `benchmarks.workload` makes them; `ready` has all of
them made beforehand, which is what a measurement wants and a long filling can't. What is timed begins with the
command's plain data (validation, fingerprint and envelope are part of it) and ends with the last outcome, committed.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import uvloop

from benchmarks import workload
from benchmarks.program import answer
from chassis import logging
from chassis.ids import new_id
from chassis.settings import load
from command_service.bootstrap import ROUTES, write_side
from command_service.envelope import Origin, envelop
from command_service.mediator import Mediator
from command_service.settings import CommandSettings
from command_service.tasks import Tasks

TYPES = {route.command.type_name(): route.command for route in ROUTES}


class Taken:
    """Hands out commands one by one, and counts them."""

    def __init__(self, commands: Iterator[workload.Command]) -> None:
        self._commands = commands
        self.count = 0

    def __iter__(self) -> Iterator[workload.Command]:
        for command in self._commands:
            self.count += 1
            yield command


async def one_after_the_other(mediator: Mediator, commands: Iterator[workload.Command]) -> None:
    """Takes the next command as soon as the last has ended."""
    for command in commands:
        command_id = new_id()
        origin = Origin(command_id, command_id, datetime.now(UTC))
        model = TYPES[command["type"]].model_validate(command["data"])
        outcome = await mediator.send(envelop(model, command_id, origin))
        if outcome.status != "succeeded":
            raise AssertionError(f"{command} came to {outcome}")


async def run(request: dict[str, Any]) -> dict[str, Any]:
    settings = load(CommandSettings)
    logging.configure("benchmark", "warning")
    commands = workload.WORKLOADS[request["workload"]](*request["arguments"])
    taken = Taken(iter(list(commands)) if request["ready"] else commands)
    handed_out = iter(taken)
    async with write_side(settings) as side, Tasks(*side.tasks):
        began = time.perf_counter()
        async with asyncio.TaskGroup() as senders:
            for _ in range(request["in_flight"]):
                senders.create_task(one_after_the_other(side.mediator, handed_out))
        seconds = time.perf_counter() - began
    return {"count": taken.count, "seconds": seconds, "rate": taken.count / seconds}


if __name__ == "__main__":
    answer(lambda request: uvloop.run(run(request)))
