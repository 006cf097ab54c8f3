"""The command line: `query-service` runs the service until it is told to stop."""

import sys

import typer

from chassis import logging
from chassis.service import run, serve
from chassis.settings import load
from query_service.bootstrap import build
from query_service.settings import QuerySettings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main() -> None:
    """Serve the read model over HTTP. Settings come from the environment: STOCKROOM_REDIS_URL and its like."""
    settings = load(QuerySettings)
    logging.configure("query-service", settings.log_level)

    async def serving() -> int:
        return await serve(build(settings), settings, settings.query_port)

    sys.exit(run(serving))
