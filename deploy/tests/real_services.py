"""What the services really have: their commands, ports, settings, addresses and programs, from their own code."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import typer
import typer.main

import command_service.cli
import projector.cli
import query_service.cli
from chassis.settings import ServiceSettings
from command_service.settings import CommandSettings
from projector.settings import ProjectorSettings
from query_service.bootstrap import build
from query_service.settings import QuerySettings
from stockroom_local.services import SERVICES

REPOSITORY: Final = Path(__file__).parents[2]

SETTINGS: Final[Mapping[str, type[ServiceSettings]]] = {
    "command-service": CommandSettings,
    "projector": ProjectorSettings,
    "query-service": QuerySettings,
}
"""By the program, which is also the image's name."""

COMMANDS: Final[Mapping[tuple[str, ...], int]] = {tuple(service.command): service.default_port for service in SERVICES}
"""Every process that there is, by its command line, with its port."""

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "command-service" if command[-1] == "api" else command[-1]: command for command in COMMANDS
}
"""How the processes are called in containers."""

SERVERS_OF: Final[Mapping[str, frozenset[str]]] = {
    "command-service": frozenset({"postgres"}),
    "relay": frozenset({"postgres", "rabbitmq"}),
    "worker": frozenset({"postgres", "rabbitmq"}),
    "processes": frozenset({"postgres", "rabbitmq"}),
    "projector": frozenset({"rabbitmq", "redis"}),
    "query-service": frozenset({"redis"}),
    "migrate": frozenset({"postgres"}),
    "sample": frozenset(),
}
"""The servers that each needs, and so may know the password of: the arrows of the architecture's picture."""

_APPS: Final = {
    "command-service": command_service.cli.app,
    "projector": projector.cli.app,
    "query-service": query_service.cli.app,
}

_UsageError: Final = typer.BadParameter.__bases__[0]

_SAMPLES: Final = {
    "STOCKROOM_POSTGRES_URL": "postgresql://stockroom:secret@postgres:5432/stockroom",
    "STOCKROOM_RABBITMQ_URL": "amqp://stockroom:secret@rabbitmq:5672/",
    "STOCKROOM_REDIS_URL": "redis://:secret@redis:6379/0",
}


class Drift(Exception):
    """A deployment says what the services don't."""


@dataclass(frozen=True)
class Deployed:
    """A process or job as a deployment has it. `secrets` are the settings whose values come from elsewhere."""

    name: str
    image: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    secrets: frozenset[str] = frozenset()

    @property
    def program(self) -> str:
        """The image's program, which is what its container runs."""
        return self.image.removeprefix("stockroom/").partition(":")[0]

    @property
    def command(self) -> tuple[str, ...]:
        return (self.program, *self.arguments)


def version() -> str:
    """The version of the services in this checkout."""
    versions = {_project(program)["version"] for program in SETTINGS}
    (found,) = versions
    return str(found)


def programs(folder: str) -> set[str]:
    """The console scripts that a service installs."""
    return set(_project(folder)["scripts"])


def _project(folder: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())["project"]
    return project


def addresses() -> set[str]:
    """What every process serves beside its operations: /health/live and its like."""
    return {str(getattr(route, "path", "")) for route in build(QuerySettings()).routes}


def check_command(deployed: Deployed) -> None:
    """Raises Drift unless the program has this command and takes these arguments. Nothing is run."""
    app = _APPS.get(deployed.program)
    if app is None:
        raise Drift(f"{deployed.name}: there is no program {deployed.program}")
    command: Any = typer.main.get_command(app)
    context, arguments = None, list(deployed.arguments)
    try:
        while arguments and hasattr(command, "resolve_command"):
            context = command.make_context(deployed.program, [], parent=context, resilient_parsing=True)
            _, command, arguments = command.resolve_command(context, arguments)
            if command is None:
                raise Drift(f"{deployed.name}: there is no command {' '.join(deployed.command)}")
        if not arguments and not getattr(command, "invoke_without_command", True):
            raise Drift(f"{deployed.name}: {' '.join(deployed.command)} needs a command")
        command.make_context(deployed.program, arguments, parent=context)
    except _UsageError as error:
        raise Drift(f"{deployed.name}: {error}") from None


def check_settings(deployed: Deployed, shared: frozenset[str] = frozenset()) -> ServiceSettings:
    """The settings that it comes to have.

    Raises Drift for a setting that its program does not know (one of `shared` must be known to some program), for a
    value that does not fit, and unless it is told of every server that it needs.
    """
    ours = {name: value for name, value in deployed.environment.items() if name.startswith("STOCKROOM_")}
    for name in ours:
        known = SETTINGS.values() if name in shared else (SETTINGS[deployed.program],)
        if not any(name.removeprefix("STOCKROOM_").lower() in settings.model_fields for settings in known):
            raise Drift(f"{deployed.name}: there is no setting {name}")
    if missing := SERVERS_OF[deployed.name] - told_of(deployed):
        raise Drift(f"{deployed.name}: is not told of {', '.join(sorted(missing))}")
    return _loaded(deployed, {**ours, **{name: _SAMPLES[name] for name in deployed.secrets}})


def told_of(deployed: Deployed) -> frozenset[str]:
    """The servers whose addresses, and so passwords, it gets to know."""
    known = deployed.environment.keys() | deployed.secrets
    return frozenset(name.split("_")[1].lower() for name in _SAMPLES if name in known)


def _loaded(deployed: Deployed, environment: Mapping[str, str]) -> ServiceSettings:
    with patch.dict(os.environ, environment, clear=True):
        try:
            return SETTINGS[deployed.program]()
        except ValueError as error:
            raise Drift(f"{deployed.name}: {error}") from None


def port_of(deployed: Deployed, settings: ServiceSettings) -> int:
    """The port that it serves, by its settings."""
    process = deployed.command[-1].removesuffix("-service").replace("api", "command")
    return int(getattr(settings, f"{process}_port"))
