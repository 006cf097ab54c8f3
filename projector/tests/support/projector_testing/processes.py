"""The projector as the processes that operators run."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from typing import NamedTuple

from projector_testing.running import World


class Ended(NamedTuple):
    code: int
    told: str
    """All that it printed."""


async def start(around: World, *arguments: str, shown: bool = False, **settings: str) -> Process:
    """``projector`` with these arguments; `settings` come to its environment."""
    environment = {
        **os.environ,
        "STOCKROOM_RABBITMQ_URL": around.rabbitmq_url,
        "STOCKROOM_REDIS_URL": around.redis_url,
        "STOCKROOM_COMMAND_URL": around.service.url,
        "STOCKROOM_WALK_INTERVAL": "0.2",
        "STOCKROOM_PROJECTOR_PORT": "0",
        **{f"STOCKROOM_{name.upper()}": value for name, value in settings.items()},
    }
    output = PIPE if shown else DEVNULL
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from projector.cli import app; app()",
        *arguments,
        env=environment,
        stdout=output,
        stderr=STDOUT if shown else DEVNULL,
    )


async def finish(process: Process) -> Ended:
    """What a process that was started with `shown` told until it ended by itself."""
    told, _ = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, told.decode())


async def run(around: World, *arguments: str, **settings: str) -> Ended:
    return await finish(await start(around, *arguments, shown=True, **settings))
