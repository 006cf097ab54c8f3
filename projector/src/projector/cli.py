"""``projector``: keeps the read model level with the log until it is told to stop."""

from importlib.metadata import version

import typer

from chassis import logging, service
from chassis.logging import get_logger
from chassis.settings import load
from projector import bootstrap
from projector.redis_client import UnsafeRedis
from projector.settings import ProjectorSettings

log = get_logger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.callback(invoke_without_command=True)
def run() -> None:
    """Runs the projector. Settings come from the environment; the README lists them."""
    settings = load(ProjectorSettings)
    logging.configure("projector", settings.log_level)
    raise typer.Exit(service.run(lambda: serve(settings)))


async def serve(settings: ProjectorSettings) -> int:
    """The process's exit code, once it has stopped."""
    projector = bootstrap.build(settings)
    http = service.create_app(
        title="Stockroom projector",
        description="Health and metrics of the process that keeps the read model.",
        version=version("stockroom-projector"),
        health=projector.health,
    )

    async def work() -> None:
        try:
            await projector.run()
        except UnsafeRedis as error:
            log.critical("refusing_to_start", reason=str(error))
            raise

    return await service.serve(http, settings, settings.projector_port, work)
