"""Events that can't be applied, and the command line of the projector that runs in a test."""

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

import orjson

from contracts import events, streams
from contracts.envelope import RecordedEvent
from projector import parking
from projector.parking import Parked
from projector_testing.read_model import eventually
from projector_testing.running import World
from projector_testing.shop import GENERATION


def poison(around: World, product: str) -> RecordedEvent:
    """Adds an event to a product's stock that nobody knows; the log does not publish it."""
    added = events.StockAdded(quantity=1, available=6)
    return around.log.add(streams.inventory_stream(product), added, type="StockTeleported")


def mend(around: World, event: RecordedEvent) -> None:
    """Whoever reads the log from now on knows the event."""
    around.log.events[event.position - 1] = event._replace(type="StockAdded")


def discard(around: World, event: RecordedEvent) -> None:
    """As if an operator had discarded it."""
    around.service.discards[event.id] = "it teleports"
    around.log.discarded.add(event.id)


async def record(around: World, key: str) -> Parked | None:
    found: Any = await around.redis.hget(GENERATION.parked, key)
    return parking.decode(found) if found else None


async def parks(around: World, key: str) -> None:
    async def parked() -> bool:
        return await record(around, key) is not None

    await eventually(parked, "the key is parked")


async def unparks(around: World, key: str) -> None:
    async def unparked() -> bool:
        return await record(around, key) is None

    await eventually(unparked, "the key is unparked")


async def never_by_itself(around: World, key: str) -> None:
    """From now on the key is tried only when someone asks for it."""
    found = await record(around, key)
    assert found is not None
    await around.redis.hset(GENERATION.parked, key, replace(found, next_attempt=4e9).encoded)


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.output)


async def projector(around: World, *arguments: str) -> Ended:
    """The projector's command line, as a process of its own."""
    running = await start(around, *arguments)
    output, errors = await running.communicate()
    return Ended(running.returncode or 0, output.decode(), errors.decode())


async def start(around: World, *arguments: str, port: int | None = None) -> asyncio.subprocess.Process:
    """With a port and no arguments, the process that serves there."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from projector.cli import app; app()",
        *arguments,
        env={
            **os.environ,
            "STOCKROOM_RABBITMQ_URL": around.rabbitmq_url,
            "STOCKROOM_REDIS_URL": around.redis_url,
            "STOCKROOM_COMMAND_URL": around.service.url,
            "STOCKROOM_PROJECTOR_PORT": str(port or 0),
            "STOCKROOM_WALK_INTERVAL": "0.2",
            "COLUMNS": "300",
        },
        stdout=asyncio.subprocess.DEVNULL if port else asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if port else asyncio.subprocess.PIPE,
    )
