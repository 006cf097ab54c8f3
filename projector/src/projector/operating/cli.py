"""``projector parked …`` and ``projector dead-letters …``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chassis.publisher import NOT_PUBLISHED
from chassis.settings import load
from projector import dead_letters
from projector.connections import connect
from projector.dead_letters import OthersLook
from projector.feed import FeedUnavailable
from projector.operating.following import follow
from projector.operating.parked import EventNotPoisoned, KeyNotParked, ParkedKey, ParkedKeys, parked_keys
from projector.redis_client import UNREACHABLE
from projector.settings import ProjectorSettings
from projector.store import GuardLost

parked = typer.Typer(no_args_is_help=True, help="Keys that wait for an event that can't be applied.")
letters = typer.Typer(no_args_is_help=True, help="Messages that can't be read at all.")

_Generation = Annotated[int | None, typer.Option(min=1, help="Of the read model; default: the one that is read.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Wait = Annotated[float, typer.Option(min=0, help="Seconds that it may take.")]

_NOT_OURS: Final = "The generation is gone, or was made by another version of the projector."


@parked.command(name="list")
def list_parked(generation: _Generation = None, as_json: _Json = False) -> None:
    """List the parked keys."""

    async def work(keys: ParkedKeys) -> int:
        found = [key async for key in keys.all()]
        if as_json:
            _print_json(found)
        else:
            _print_table(
                ("key", "kind", "partition", "since", "attempts", "next attempt", "streams", "reason"), map(_row, found)
            )
            typer.echo(f"{len(found)} key(s) parked.")
        return 0

    _with_parked(generation, work)


@parked.command()
def show(
    key: Annotated[str, typer.Argument(help="A partition key: a product's or an order's id.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many events.")] = 100,
    generation: _Generation = None,
) -> None:
    """Show a parked key, and the events that wait with it, as JSON."""

    async def work(keys: ParkedKeys) -> int:
        _print_json(await keys.details(key, limit))
        return 0

    _with_parked(generation, work)


@parked.command()
def redrive(
    key: Annotated[str | None, typer.Argument(help="A partition key; all that are parked when absent.")] = None,
    wait: _Wait = 60.0,
    generation: _Generation = None,
) -> None:
    """Try parked keys at once, and wait for what comes of it. Exit code 1: something is still parked."""

    async def work(keys: ParkedKeys) -> int:
        tried: list[ParkedKey] = []
        for one in [key] if key is not None else [found.key async for found in keys.all()]:
            try:
                tried.append(await keys.redrive(one))
            except KeyNotParked:
                if key is not None:
                    raise
        if not tried:
            typer.echo("Nothing is parked.")
        return min(1, await follow(keys, tried, wait, typer.echo))

    _with_parked(generation, work)


@parked.command()
def discard(
    event: Annotated[str, typer.Argument(help="The event that a key is parked at: <stream>@<version>.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the event's id.")],
    wait: _Wait = 60.0,
    generation: _Generation = None,
) -> None:
    """Have a poisoned event count as applied without effect, for ever, and redrive its key."""
    if not 1 <= len(reason) <= 500:
        raise typer.BadParameter("a reason has 1 to 500 characters", param_hint="--reason")

    async def work(keys: ParkedKeys) -> int:
        before = await keys.discard(event, reason)
        typer.echo(f"{event}: discarded")
        return min(1, await follow(keys, [before], wait, typer.echo))

    _with_parked(generation, work)


@letters.command(name="list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the oldest first.")] = 20,
    as_json: _Json = False,
) -> None:
    """List messages that can't be read at all. They stay where they are."""

    async def work(settings: ProjectorSettings) -> int:
        try:
            found = await dead_letters.look(settings.rabbitmq_url, limit)
        except NOT_PUBLISHED as error:
            return _fail(f"The broker can't be reached: {type(error).__name__}.", 1)
        except OthersLook as error:
            return _fail(str(error), 1)
        if as_json:
            _print_json(found)
        else:
            rows = ([one.at, one.origin, str(one.size), one.reason, one.beginning] for one in found.items)
            _print_table(("since", "origin", "bytes", "reason", "begins with"), rows)
            typer.echo(f"{found.count} dead letter(s).")
        return 0

    _run(work)


def _with_parked(generation: int | None, work: Callable[[ParkedKeys], Awaitable[int]]) -> None:
    async def main(settings: ProjectorSettings) -> int:
        connections = connect(settings)
        try:
            return await work(await parked_keys(connections.redis, connections.feed, generation))
        except (KeyNotParked, EventNotPoisoned) as refusal:
            return _fail(f"{refusal}.", 2)
        except GuardLost:
            return _fail(_NOT_OURS, 1)
        except FeedUnavailable as error:
            return _fail(f"The command service can't be reached: {error}.", 1)
        except UNREACHABLE as error:
            return _fail(f"Redis can't be reached: {type(error).__name__}.", 1)
        finally:
            await connections.close()

    _run(main)


def _run(main: Callable[[ProjectorSettings], Awaitable[int]]) -> None:
    async def run() -> int:
        return await main(load(ProjectorSettings))

    raise typer.Exit(asyncio.run(run()))


def _fail(text: str, code: int) -> int:
    typer.echo(text, err=True)
    return code


def _row(key: ParkedKey) -> list[str]:
    streams = f"{key.streams}+" if key.more_streams else str(key.streams)
    reason = f"{key.event_id}: {key.reason}"
    return [key.key, key.kind, str(key.partition), key.since, str(key.attempts), key.next_attempt, streams, reason]


def _print_table(columns: Sequence[str], rows: Any) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _print_json(document: Any) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
