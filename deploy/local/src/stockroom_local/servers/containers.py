"""A server as a container, where a Docker engine answers and the programs are missing."""

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stockroom_local.errors import ServerFailed
from stockroom_local.servers.base import STOP_SECONDS
from stockroom_local.servers.ports import Ports


@dataclass(frozen=True)
class ContainerSpec:
    """An official image and what it needs. `script` is what a shell in it runs, instead of the image's own command."""

    name: str
    image: str
    port: int
    volume: str
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    script: str | None = None
    hostname: str | None = None

    @property
    def words(self) -> list[str]:
        """The arguments behind the image's name."""
        return list(self.command) if self.script is None else [self.script]

    @property
    def entrypoint(self) -> list[str]:
        """What they are handed to; empty for the image's own."""
        return [] if self.script is None else ["sh", "-euc"]


def engine_answers() -> bool:
    """Whether `docker info` reaches a Docker engine."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class ContainerEngine:
    """Runs a server in a container that is published on 127.0.0.1 only.

    `stop` removes the container; its data stays in a volume named after the home folder until `discard`. A `throwaway`
    one (of a test) is created through testcontainers.
    """

    def __init__(self, home: Path, spec: ContainerSpec, *, throwaway: bool) -> None:
        self._spec = spec
        self._throwaway = throwaway
        self._name = f"stockroom-{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]}-{spec.name}"
        self._ports = Ports(home / "ports.json")
        self._port: int | None = None
        self._launched = False

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = self._ports.claim(self._spec.name)
        return self._port

    @property
    def where(self) -> str:
        return f"the Docker volume {self._name}"

    def launch(self) -> None:
        if self._launched and self.running():
            return
        self.stop(STOP_SECONDS)  # what a run that was killed left behind, perhaps running, and holding its port
        self._port = self._ports.claim(self._spec.name)
        self._launched = True
        if self._throwaway:
            self._create_for_test()
        else:
            self._create()

    def running(self) -> bool:
        return _docker("inspect", "--format", "{{.State.Running}}", self._name, check=False).strip() == "true"

    def stop(self, seconds: float) -> None:
        _docker("stop", "--time", f"{seconds:.0f}", self._name, check=False)
        _docker("rm", "--force", self._name, check=False)

    def kill(self) -> None:
        _docker("kill", self._name, check=False)

    def log(self) -> str:
        return _docker("logs", "--tail", "100", self._name, check=False)

    def tool(self, *command: str, seconds: float = 60.0) -> str:
        return _docker("exec", self._name, *command, seconds=seconds)

    def discard(self) -> None:
        """Deletes the data."""
        _docker("rm", "--force", self._name, check=False)
        _docker("volume", "rm", "--force", self._name, check=False)

    def _create(self) -> None:
        spec = self._spec
        words = ["run", "--detach", "--name", self._name, "--volume", f"{self._name}:{spec.volume}"]
        words += ["--publish", f"127.0.0.1:{self.port}:{spec.port}"]
        words += [word for key, value in spec.environment.items() for word in ("--env", f"{key}={value}")]
        words += ["--hostname", spec.hostname] if spec.hostname else []
        words += ["--entrypoint", spec.entrypoint[0]] if spec.entrypoint else []
        # The first time the image is fetched.
        _docker(*words, spec.image, *spec.entrypoint[1:], *spec.words, seconds=900)

    def _create_for_test(self) -> None:
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer  # of the tests' environment only

        spec = self._spec
        container = DockerContainer(spec.image).with_name(self._name)
        container.with_kwargs(hostname=spec.hostname, entrypoint=spec.entrypoint or None)
        container.ports[f"{spec.port}/tcp"] = cast(Any, ("127.0.0.1", self.port))
        container.with_volume_mapping(self._name, spec.volume, "rw")
        if spec.words:
            container.with_command(spec.words)
        for key, value in spec.environment.items():
            container.with_env(key, value)
        container.start()


def _docker(*words: str, seconds: float = 60.0, check: bool = True) -> str:
    try:
        done = subprocess.run(
            ["docker", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerFailed(f"docker {words[0]} failed: {error}") from error
    if check and done.returncode != 0:
        raise ServerFailed(f"docker {words[0]} failed ({done.returncode}): {done.stdout.strip()}")
    return done.stdout
