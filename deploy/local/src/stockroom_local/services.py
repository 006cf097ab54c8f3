"""Every process that `make run` starts, in the order in which they start."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stockroom_local.errors import InvalidSetting, LocalError


@dataclass(frozen=True)
class Service:
    """A console script of ours that serves `/health/ready` on its port; `setting` changes the port."""

    name: str
    command: Sequence[str]
    setting: str
    default_port: int


COMMAND_API = Service("api", ("command-service", "api"), "STOCKROOM_COMMAND_PORT", 8080)
QUERY_API = Service("query", ("query-service",), "STOCKROOM_QUERY_PORT", 8081)

SERVICES: tuple[Service, ...] = (
    COMMAND_API,
    Service("relay", ("command-service", "relay"), "STOCKROOM_RELAY_PORT", 8083),
    Service("worker", ("command-service", "worker"), "STOCKROOM_WORKER_PORT", 8084),
    Service("processes", ("command-service", "processes"), "STOCKROOM_PROCESSES_PORT", 8085),
    Service("projector", ("projector",), "STOCKROOM_PROJECTOR_PORT", 8082),
    QUERY_API,
)


def chosen_ports(environment: Mapping[str, str]) -> dict[Service, int]:
    """Each service's port; InvalidSetting for one that is no port, or if two are the same."""
    ports: dict[Service, int] = {}
    for service in SERVICES:
        text = environment.get(service.setting) or str(service.default_port)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            raise InvalidSetting(f"{service.setting} must be a port from 1 to 65535, not {text!r}.")
        for other, port in ports.items():
            if port == int(text):
                raise InvalidSetting(
                    f"{service.setting} and {other.setting} are both {text}; each needs a port of its own."
                )
        ports[service] = int(text)
    return ports


def addresses(ports: Mapping[Service, int], servers: Mapping[str, str]) -> dict[str, str]:
    """The settings that say where everything is: the servers' URLs, each process's port."""
    return {
        **servers,
        **{service.setting: str(port) for service, port in ports.items()},
        "STOCKROOM_COMMAND_URL": f"http://127.0.0.1:{ports[COMMAND_API]}",
    }


def settings_for(ports: Mapping[Service, int], servers: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of ours: this one's, and `addresses`."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **addresses(ports, servers)}


def program(name: str) -> Path:
    """The console script beside this Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise LocalError(f"The program {name} is not installed beside {sys.executable}; run `make env`.")
    return Path(found)
