"""A Redis (or Valkey) of our own."""

import signal
from pathlib import Path
from typing import ClassVar

from stockroom_local.servers import wire
from stockroom_local.servers.base import Server
from stockroom_local.servers.containers import ContainerEngine, ContainerSpec
from stockroom_local.servers.processes import Invocation, ProcessEngine, plain_environment
from stockroom_local.servers.requirements import Container, Means, Programs, Requirement

REQUIREMENT = Requirement(
    title="Redis",
    programs=("redis-server",),
    places=("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"),
    package="redis-server",
    image="redis:8",
    setting="STOCKROOM_REDIS_URL",
)

# At most one second of writes is lost in a crash; a full memory refuses writes rather than dropping keys.
_DURABLE = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
}


class Redis(Server):
    """Answers on 127.0.0.1 without a password, and keeps what it holds in an append-only file."""

    title = REQUIREMENT.title

    def __init__(self, home: Path, means: Means) -> None:
        match means:
            case Container(throwaway=throwaway):
                super().__init__(ContainerEngine(home, _container(), throwaway=throwaway))
            case _:
                super().__init__(RedisEngine(home, means.programs))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        return wire.redis_command(self.port, "PING") == "+PONG"

    def is_loading(self) -> bool:
        return wire.redis_command(self.port, "PING").startswith("-LOADING")

    def empty(self) -> None:
        """Deletes every key of every database."""
        answer = wire.redis_command(self.port, "FLUSHALL", seconds=30)
        if answer != "+OK":
            raise RuntimeError(f"FLUSHALL was answered with {answer!r}")


class RedisEngine(ProcessEngine):
    """One redis-server process."""

    name: ClassVar[str] = "redis"
    death_signal = signal.SIGKILL

    def __init__(self, home: Path, programs: Programs) -> None:
        super().__init__(home)
        self._program = programs["redis-server"]

    def prepare(self) -> None:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": f'"{data}"',
            "daemonize": "no",
            "loglevel": "notice",
            **_DURABLE,
        }
        self._configuration.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

    def invocation(self) -> Invocation:
        return Invocation([self._program, self._configuration], plain_environment(), self.folder)

    def tool(self, *command: str, seconds: float = 60.0) -> str:
        program = self._program.with_name(command[0])
        how = Invocation([program, "-p", str(self.port), *command[1:]], plain_environment(), self.folder)
        return self.run_tool(how, seconds)

    @property
    def _configuration(self) -> Path:
        return self.folder / "redis.conf"


def _container() -> ContainerSpec:
    options = [word for key, value in _DURABLE.items() for word in (f"--{key}", value.strip('"'))]
    return ContainerSpec(
        name="redis", image=REQUIREMENT.image, port=6379, volume="/data", command=("redis-server", *options)
    )
