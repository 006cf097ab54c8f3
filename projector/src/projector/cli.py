"""``projector``: keeps the read model level with the log until it is told to stop; and what operators do with it."""

from importlib.metadata import version

import typer

from chassis import logging, service
from chassis.application import Service
from chassis.logging import get_logger
from chassis.settings import load
from projector import bootstrap
from projector.bootstrap import Projector
from projector.operating import api as operating
from projector.operating.cli import letters, parked
from projector.operating.problems import EVENT_NOT_POISONED, KEY_NOT_PARKED
from projector.rebuilding.cli import app as rebuilding
from projector.redis_client import UnsafeRedis
from projector.settings import ProjectorSettings
from projector.verifying.cli import app as verifying

log = get_logger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(rebuilding)
app.add_typer(verifying)
app.add_typer(parked, name="parked")
app.add_typer(letters, name="dead-letters")


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Runs the projector. Settings come from the environment; the README lists them."""
    if context.invoked_subcommand is not None:
        return
    settings = load(ProjectorSettings)
    logging.configure("projector", settings.log_level)
    raise typer.Exit(service.run(lambda: serve(settings)))


async def serve(settings: ProjectorSettings) -> int:
    """The process's exit code, once it has stopped."""
    projector = bootstrap.build(settings)

    async def work() -> None:
        try:
            await projector.run()
        except UnsafeRedis as error:
            log.critical("refusing_to_start", reason=str(error))
            raise

    return await service.serve(application(projector), settings, settings.projector_port, work)


def application(projector: Projector) -> Service:
    """What the process serves over HTTP."""
    return service.create_app(
        title="Stockroom projector",
        description="Health and metrics of the process that keeps the read model, and what it can't apply.",
        version=version("stockroom-projector"),
        health=projector.health,
        operations=operating.operations(projector.connections, projector.wake),
        problem_types=(KEY_NOT_PARKED, EVENT_NOT_POISONED),
    )
