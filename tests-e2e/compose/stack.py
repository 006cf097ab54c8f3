"""The system in containers, under a test's control: one compose project of its own, at a port of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from system import free_port, wait_for

REPOSITORY: Final = Path(__file__).resolve().parents[2]
FILE: Final = REPOSITORY / "docker-compose.yml"
VERSION: Final = "test"
NGINX: Final = "nginx:1.29"
NGINX_OF_DEBIAN: Final = "stockroom/nginx-debian"

PROCESSES: Final = ("command-service", "relay", "worker", "processes", "projector", "query-service")
SERVERS: Final = ("postgres", "rabbitmq", "redis")
JOBS: Final = ("secrets", "migrate", "sample")

STOP_SECONDS: Final = 60


def docker(*words: str, seconds: float = 120, check: bool = True) -> str:
    """What the engine's client prints; fails the test with it if the command fails."""
    return _run(["docker", *words], os.environ, seconds, check)


def compose_command() -> list[str]:
    """The compose that is here: what COMPOSE says, else the plugin, else docker-compose."""
    if os.environ.get("COMPOSE"):
        return os.environ["COMPOSE"].split()
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "Neither the plugin `docker compose` nor docker-compose is here."
    return ["docker-compose"]


@dataclass(frozen=True)
class Container:
    """One container of the project."""

    id: str
    service: str
    number: int

    def look(self, template: str) -> str:
        """A field of what the engine knows of it, as a Go template."""
        return docker("inspect", "--format", template, self.id).strip()

    @property
    def pid(self) -> int:
        """Of its first process, on the engine's machine; 0 while it does not run."""
        return int(self.look("{{.State.Pid}}"))

    @property
    def exit_code(self) -> int:
        return int(self.look("{{.State.ExitCode}}"))

    def is_running(self) -> bool:
        return self.look("{{.State.Running}}") == "true"

    def is_ready(self) -> bool:
        """Whether its own health check passes at this moment, which the engine asks every few seconds only."""
        test: list[str] = json.loads(self.look("{{json .Config.Healthcheck.Test}}"))
        command = ["sh", "-c", *test[1:]] if test[0] == "CMD-SHELL" else test[1:]
        done = subprocess.run(["docker", "exec", self.id, *command], capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def stop(self) -> int:
        """Ends it as an operator would; returns its exit code."""
        docker("stop", "--time", str(STOP_SECONDS), self.id)
        return self.exit_code

    def remove(self) -> None:
        docker("rm", "--force", self.id)

    def log(self) -> str:
        return docker("logs", "--tail", "40", self.id)


class Stack:
    """A compose project, from nothing to nothing: what `docker compose up` makes of a clean clone."""

    def __init__(self) -> None:
        self.command = compose_command()
        self.project = f"stockroom-test-{os.getpid()}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STOCKROOM_")},
            "COMPOSE_PROJECT_NAME": self.project,
            "STOCKROOM_PORT": str(self.port),
            "STOCKROOM_VERSION": VERSION,
            "NGINX_IMAGE": os.environ.get("NGINX_IMAGE") or obtain_nginx(),
        }

    def compose(self, *words: str, seconds: float = 600) -> str:
        """What compose prints; fails the test with it if the command fails."""
        return _run([*self.command, "--file", str(FILE), *words], self._environment, seconds, True)

    def containers(self, *services: str) -> list[Container]:
        """All of these services, or of all of them, whether they run or not; the oldest first."""
        ids = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = [self._container(one) for one in json.loads(docker("inspect", *ids))] if ids else []
        chosen = [one for one in found if not services or one.service in services]
        return sorted(chosen, key=lambda one: (one.service, one.number))

    def one(self, service: str) -> Container:
        """The service's only container."""
        [only] = self.containers(service)
        return only

    def scale(self, **counts: int) -> None:
        """So many containers of each; what runs goes on as it is. Returns when all are ready."""
        words = [word for name, count in counts.items() for word in ("--scale", f"{name.replace('_', '-')}={count}")]
        services = [name.replace("_", "-") for name in counts]
        self.compose("up", "--detach", "--no-deps", "--no-recreate", *words, *services)
        for container in self.containers(*services):
            wait_for(f"{container.service} {container.number} ready", container.is_ready, 120)

    def wait_ready(self) -> None:
        """Until every server, process and proxy passes its health check."""
        for container in self.containers(*PROCESSES, *SERVERS, "proxy"):
            wait_for(f"{container.service} {container.number} ready", container.is_ready, 180)

    def kill(self, container: Container) -> None:
        """SIGKILL to its first process, which the engine takes for a crash; `docker kill` would be an operator's word,
        after which it does not come back. Only a process outside can do that to the first one."""
        image = f"stockroom/command-service:{VERSION}"
        kill = ["--entrypoint", "sh", image, "-c", f"kill -9 {container.pid}"]
        docker("run", "--rm", "--pid", "host", "--network", "none", "--user", "0:0", *kill)

    def discard(self) -> None:
        """Nothing of it is left but the images."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def logs(self) -> str:
        """The last lines of each container, for a message."""
        return "\n".join(f"== {one.service} {one.number}\n{one.log()}" for one in self.containers())

    @staticmethod
    def _container(document: Mapping[str, Any]) -> Container:
        labels = document["Config"]["Labels"]
        number = int(labels["com.docker.compose.container-number"])
        return Container(document["Id"], labels["com.docker.compose.service"], number)


def obtain_nginx() -> str:
    """The official image if it is here or can be fetched; else one made of Debian's package."""
    if _works("image", "inspect", NGINX) or _works("pull", "--quiet", NGINX):
        return NGINX
    docker("build", "--quiet", "--tag", NGINX_OF_DEBIAN, str(REPOSITORY / "deploy" / "proxy" / "debian"), seconds=600)
    return NGINX_OF_DEBIAN


def _works(*words: str) -> bool:
    try:
        return subprocess.run(["docker", *words], capture_output=True, timeout=120, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float, check: bool) -> str:
    done = subprocess.run(
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
    assert not check or done.returncode == 0, f"{' '.join(command)} ({done.returncode}):\n{done.stdout[-4000:]}"
    return done.stdout
