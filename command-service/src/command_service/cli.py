"""The command line of every process of the write side, and of what operators do with it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import logging
from chassis.persisting import persist
from chassis.service import Running, run, serve_opened
from chassis.settings import load
from command_service import bootstrap
from command_service.api_client import ImportRefused
from command_service.database import (
    NotMigrated,
    ServerUnreachable,
    SettingRefused,
    Shop,
    make_engine,
    open_shop,
    until_reachable,
)
from command_service.event_store.store import is_fault
from command_service.importer import import_products
from command_service.migrations import migrate as run_migrations
from command_service.processes.operating import after_restore as restoring
from command_service.queue import operating
from command_service.retail import import_retail
from command_service.settings import CommandSettings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Stockroom's write side."
)


Opening = Callable[[CommandSettings, Callable[[str], None]], AbstractAsyncContextManager[Running]]


def _run(service: str, main: Callable[[CommandSettings], Awaitable[int]]) -> None:
    settings = load(CommandSettings)
    logging.configure(service, settings.log_level)
    try:
        code = run(lambda: main(settings))
    except (SettingRefused, NotMigrated) as refusal:
        typer.echo(str(refusal), err=True)
        code = 2
    except ServerUnreachable as unreachable:
        typer.echo(str(unreachable), err=True)
        code = 1
    sys.exit(code)


def _serve(name: str, opening: Opening, port: Callable[[CommandSettings], int]) -> None:
    async def main(settings: CommandSettings) -> int:
        return await serve_opened(lambda tell: opening(settings, tell), settings, port(settings))

    _run(f"command-service {name}", main)


@app.command()
def api() -> None:
    """Serve the command API."""
    _serve("api", bootstrap.open_api, lambda settings: settings.command_port)


@app.command()
def relay() -> None:
    """Publish what was committed to the broker."""
    _serve("relay", bootstrap.open_relay, lambda settings: settings.relay_port)


@app.command()
def worker() -> None:
    """Execute queued commands."""
    _serve("worker", bootstrap.open_worker, lambda settings: settings.worker_port)


@app.command()
def processes() -> None:
    """Run the process managers: payment deadlines and stock alerts."""
    _serve("processes", bootstrap.open_processes, lambda settings: settings.processes_port)


@app.command()
def migrate() -> None:
    """Bring the database's schema to its newest version; waits for Postgres."""

    async def main(settings: CommandSettings) -> int:
        # To index a long log takes as long as it takes.
        engine = make_engine(settings, statement_seconds=None)
        try:
            await persist(is_fault, lambda: run_migrations(engine))
        finally:
            await engine.dispose()
        return 0

    _run("command-service migrate", main)


@app.command()
def after_restore() -> None:
    """Run once after Postgres was restored from a backup, while every process is stopped: see deploy/RUNBOOKS.md."""

    async def main(settings: CommandSettings) -> int:
        engine = make_engine(settings)
        try:
            shop = await until_reachable(lambda: open_shop(engine, settings))
            return await restoring(engine, shop.partitions, settings.rabbitmq_url)
        finally:
            await engine.dispose()

    _run("command-service after-restore", main)


@app.command(name="import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="CSV with sku, name, description, price, category, stock, and maybe id.")
    ],
    url: Annotated[
        str | None, typer.Option(help="The command API; default: the one of this machine's settings.")
    ] = None,
) -> None:
    """Load products through the command API. Can be repeated: nothing is done twice."""
    settings = load(CommandSettings)
    base = url or f"http://127.0.0.1:{settings.command_port}"
    try:
        refused = asyncio.run(import_products(file, base))
    except ImportRefused as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(1 if refused else 0)


@app.command(name="import-retail")
def import_retail_file(
    file: Annotated[Path, typer.Argument(help="Invoices as CSV, or gzip of it, in the Online Retail format.")],
    url: Annotated[
        str | None, typer.Option(help="The command API; default: the one of this machine's settings.")
    ] = None,
    refused: Annotated[
        Path | None, typer.Option(help="Where to list what is left out; default: FILE.refused.csv.")
    ] = None,
) -> None:
    """Bring a year of trade into the shop, with its dates. Can be stopped and repeated: nothing is done twice."""
    base = url or f"http://127.0.0.1:{load(CommandSettings).command_port}"
    try:
        outcome = asyncio.run(import_retail(file, base, refused))
    except ImportRefused as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(1 if outcome.not_done else 0)


commands = typer.Typer(no_args_is_help=True, help="Queued commands that have not ended well.")
app.add_typer(commands, name="commands")


@commands.command(name="list")
def list_commands(
    status: Annotated[str, typer.Option(help="accepted, succeeded, rejected or failed.")] = "failed",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the oldest first.")] = 100,
) -> None:
    """List commands by status."""
    _operate(lambda engine, _shop: operating.show(engine, status, limit))


@commands.command()
def redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of commands.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of the status.")] = False,
    status: Annotated[str, typer.Option(help="failed; or accepted, where the broker has lost its queues.")] = "failed",
) -> None:
    """Queue commands again, once what made them fail is mended. Each happens once, also if it is queued still."""
    if bool(ids) == every:
        raise typer.BadParameter("name ids of commands, or --all")
    if status not in ("failed", "accepted"):
        raise typer.BadParameter("--status is failed or accepted")
    chosen = None if every else ids
    _operate(lambda engine, shop: operating.redrive(engine, chosen, bootstrap.lane_of_messages(shop), status))


def _operate(work: Callable[[AsyncEngine, Shop], Awaitable[int]]) -> None:
    async def main(settings: CommandSettings) -> int:
        engine = make_engine(settings)
        try:
            shop = await until_reachable(lambda: open_shop(engine, settings))
            return await work(engine, shop)
        finally:
            await engine.dispose()

    _run("command-service commands", main)
