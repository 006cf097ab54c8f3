"""``projector rebuild``, ``projector generations …`` and ``projector switch``."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chassis import logging, service
from chassis.consumer import BROKER_LOST
from chassis.persisting import persist
from chassis.settings import load
from contracts.keys import Generation
from projector import redis_client
from projector.connections import Connections, connect
from projector.dropping import drop
from projector.feed import FeedUnavailable, Refused
from projector.listing import COLUMNS, listed
from projector.queues import Queues
from projector.rebuilding.rebuild import Rebuild
from projector.rebuilding.showing import Display
from projector.redis_client import UNREACHABLE, UnsafeRedis
from projector.settings import ProjectorSettings
from projector.switching import switch

INTERRUPTED = 130

app = typer.Typer()
generations = typer.Typer(invoke_without_command=True, help="Lists the generations of the read model.")
app.add_typer(generations, name="generations")

_Number = Annotated[int, typer.Argument(min=1, help="Number of a generation.")]


@app.command()
def rebuild(
    workers: Annotated[int, typer.Option(min=1, help="Processes that page the log.")] = os.cpu_count() or 1,
    verify: Annotated[bool, typer.Option(help="Compare it with the log before it is switched to.")] = True,
    abandon: Annotated[bool, typer.Option("--abandon", help="Drop the generation that is being built.")] = False,
) -> None:
    """Make the next generation of the read model beside the live one, and switch to it.

    Can be interrupted at any time and repeated: it goes on where it was. Exit code 1: it can't be, or was refused.
    """

    async def work(connections: Connections) -> int:
        await persist(UNREACHABLE, lambda: redis_client.refuse_eviction(connections.redis))
        system = await persist((FeedUnavailable,), connections.feed.system)
        display = Display(Console(stderr=True))
        rebuilding = Rebuild(connections, system, display)
        if abandon:
            display.say(f"generation {await rebuilding.abandon()} is dropped")
        else:
            number = await rebuilding.run(workers, verify=verify)
            await _tell_what_next(connections, number, display)
        return 0

    _run(work, "stopped: `projector rebuild` goes on from here")


async def _tell_what_next(connections: Connections, number: int, display: Display) -> None:
    for generation in await listed(connections.redis, connections.feed):
        other = generation.registered.number
        parked = sum(generation.standing.parked)
        if other == number and parked:
            display.say(f"{parked} key(s) are parked: `projector parked list` shows them")
        elif other != number:
            display.say(f"`projector switch {other}` goes back, `projector generations drop {other}` removes it")


@generations.callback()
def show(context: typer.Context) -> None:
    """Lists the generations of the read model; the one with the asterisk is read."""
    if context.invoked_subcommand is not None:
        return

    async def work(connections: Connections) -> int:
        table = Table(*COLUMNS)
        for generation in await listed(connections.redis, connections.feed):
            table.add_row(*map(Text, generation.row()))
        Console().print(table)
        return 0

    _run(work)


@generations.command(name="drop")
def drop_generation(number: _Number) -> None:
    """Remove a generation that is not read: its queues, its keys. Can be interrupted and repeated."""

    async def work(connections: Connections) -> int:
        system = await connections.feed.system()
        queues = Queues(connections.settings.rabbitmq_url, number, system.partitions)
        removed = await drop(connections.redis, connections.feed, queues, Generation(number))
        typer.echo(f"generation {number} is dropped, {removed} keys were removed")
        return 0

    _run(work, f"stopped: `projector generations drop {number}` goes on from here")


@app.command(name="switch")
def switch_to(number: _Number) -> None:
    """Have queries read another generation, which must be whole and level with the log."""

    async def work(connections: Connections) -> int:
        await switch(connections, number)
        typer.echo(f"generation {number} is read now")
        return 0

    _run(work)


def _run(work: Callable[[Connections], Awaitable[int]], interrupted: str = "stopped") -> None:
    settings = load(ProjectorSettings)
    # What is told goes to whoever waits for it; the log has only what is wrong.
    logging.configure("projector", "warning" if settings.log_level == "info" else settings.log_level)
    raise typer.Exit(service.run(lambda: _end_in_words(connect(settings), work, interrupted)))


async def _end_in_words(
    connections: Connections, work: Callable[[Connections], Awaitable[int]], interrupted: str
) -> int:
    """The exit code; whatever may be expected to go wrong is told in a line."""
    working = asyncio.ensure_future(work(connections))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    try:
        return await working
    except asyncio.CancelledError:
        return _fail(interrupted, INTERRUPTED)
    except (Refused, UnsafeRedis) as refusal:
        return _fail(str(refusal))
    except FeedUnavailable as error:
        return _fail(f"the command service can't be reached: {error}")
    except (*UNREACHABLE, *BROKER_LOST) as error:
        return _fail(f"Redis or the broker can't be reached: {type(error).__name__}")
    finally:
        await connections.close()


def _fail(text: str, code: int = 1) -> int:
    typer.echo(text, err=True)
    return code
