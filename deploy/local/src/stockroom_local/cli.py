"""The commands of `python -m stockroom_local`."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping

import typer
from rich.console import Console

from stockroom_local import runner
from stockroom_local.errors import LocalError
from stockroom_local.screen import Screen
from stockroom_local.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Runs Stockroom on this machine.")


@app.command()
def run() -> None:
    """Runs everything: servers, services and the sample shop, until Ctrl-C."""
    _exit_with(Screen(), runner.run)


@app.command()
def servers() -> None:
    """Runs PostgreSQL, RabbitMQ and Redis only, and prints their URLs as `export` lines, until Ctrl-C."""

    def announce(urls: Mapping[str, str]) -> None:
        for setting, url in urls.items():
            print(f"export {setting}={shlex.quote(url)}", flush=True)

    screen = Screen(Console(file=sys.stderr, soft_wrap=True, highlight=False))
    _exit_with(screen, lambda settings, screen: runner.serve_only(settings, screen, announce))


@app.command()
def discard() -> None:
    """Deletes all data of the servers that `run` keeps for this home folder."""
    _exit_with(Screen(), runner.discard)


def _exit_with(screen: Screen, command: Callable[[Settings, Screen], int]) -> None:
    try:
        settings = Settings.read(os.environ)
    except LocalError as error:
        screen.failed(str(error))
        raise typer.Exit(1) from None
    raise typer.Exit(command(settings, screen))
