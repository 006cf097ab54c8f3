"""The command line: ``command-service api | relay | migrate | import``."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from chassis import logging
from chassis.service import run
from chassis.settings import load
from command_service import bootstrap
from command_service.database import NotMigrated, ServerUnreachable, SettingRefused, make_engine, until_reachable
from command_service.importer import ImportRefused, import_products
from command_service.migrations import migrate as run_migrations
from command_service.settings import CommandSettings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Stockroom's write side."
)


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


@app.command()
def api() -> None:
    """Serve the command API."""
    _run("command-service api", bootstrap.run_api)


@app.command()
def relay() -> None:
    """Publish what was committed to the broker."""
    _run("command-service relay", bootstrap.run_relay)


@app.command()
def migrate() -> None:
    """Bring the database's schema to its newest version."""

    async def main(settings: CommandSettings) -> int:
        engine = make_engine(settings)
        try:
            await until_reachable(lambda: run_migrations(engine))
        finally:
            await engine.dispose()
        return 0

    _run("command-service migrate", main)


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
