"""A RabbitMQ of our own: one node with its own port mapper (epmd), cookie and folders, all on 127.0.0.1."""

import json
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from stockroom_local import children
from stockroom_local.errors import ServerFailed
from stockroom_local.servers import wire
from stockroom_local.servers.base import Server
from stockroom_local.servers.containers import ContainerEngine, ContainerSpec
from stockroom_local.servers.processes import Invocation, ProcessEngine, plain_environment
from stockroom_local.servers.requirements import Container, Means, Programs, Requirement
from stockroom_local.waiting import wait_until

# Debian's rabbitmq-server on the PATH is a wrapper that serves only the system's node; the real one is searched first.
REQUIREMENT = Requirement(
    title="RabbitMQ",
    programs=("rabbitmq-server", "rabbitmqctl"),
    places=("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin", "/opt/rabbitmq/sbin"),
    package="rabbitmq-server",
    image="rabbitmq:4",
    setting="STOCKROOM_RABBITMQ_URL",
    places_first=True,
)

_NODE = "stockroom@localhost"
_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
_LIMITS = {
    "disk_free_limit.absolute": "50MB",
    "vm_memory_high_watermark.relative": "0.4",
    "raft.wal_max_size_bytes": "67108864",
}


class RabbitMQ(Server):
    """Answers AMQP 0-9-1 on 127.0.0.1 for guest:guest; what it confirmed is on disk."""

    title = REQUIREMENT.title

    def __init__(self, home: Path, means: Means) -> None:
        match means:
            case Container(throwaway=throwaway):
                super().__init__(ContainerEngine(home, _container(), throwaway=throwaway))
            case _:
                super().__init__(RabbitMQEngine(home, means.programs))

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def answers(self) -> bool:
        return wire.amqp_accepts(self.port)

    def vhost_url(self, vhost: str) -> str:
        """Where clients reach the virtual host `vhost`."""
        return f"{self.url}{vhost}"

    def settle(self) -> None:
        """After this, queues declared before survive `kill`.

        RabbitMQ writes the register of its quorum queues late: 3.10 killed within a moment of a declaration comes back
        with that queue leaderless for good (it exists, and answers nothing).
        """
        self.engine.tool("rabbitmqctl", "eval", "[ok = dets:sync(T) || T <- dets:all()], ok.")

    def exchange_vhosts(self, drop: Iterable[str], add: Iterable[str]) -> None:
        """Deletes and creates virtual hosts, all in one call: a call takes about a second however much it does."""
        self.engine.tool("rabbitmqctl", "eval", _exchange(drop, add), seconds=120)


class RabbitMQEngine(ProcessEngine):
    """An Erlang node and the epmd it registers with; both end with this process."""

    name: ClassVar[str] = "rabbitmq"

    def __init__(self, home: Path, programs: Programs) -> None:
        super().__init__(home)
        self._programs = programs
        self._epmd: children.Child | None = None
        self._epmd_port = 0

    def prepare(self) -> None:
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            **_LIMITS,
        }
        self._configuration.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "environment").write_text("# Keeps the settings of a system-wide node away from this one.\n")
        self._dist_port = self.ports.claim("rabbitmq distribution")
        self._start_epmd()

    def invocation(self) -> Invocation:
        return Invocation([self._programs["rabbitmq-server"]], self._environment(), self.folder)

    def stop(self, seconds: float) -> None:
        super().stop(seconds)
        self._stop_epmd()

    def kill(self) -> None:
        super().kill()
        self._stop_epmd()

    def tool(self, *command: str, seconds: float = 60.0) -> str:
        program = self._programs["rabbitmqctl"].with_name(command[0])
        how = Invocation([program, "--quiet", *command[1:]], self._environment(), self.folder)
        return self.run_tool(how, seconds)

    @property
    def _configuration(self) -> Path:
        return self.folder / "rabbitmq.conf"

    def _environment(self) -> dict[str, str]:
        environment = plain_environment(
            without=("RABBITMQ_", "ERL_", "NOTIFY_SOCKET"),
            HOME=str(self.folder),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(self._epmd_port),
            ERL_CRASH_DUMP_SECONDS="0",
            # The start script then becomes the node instead of watching it: one process, and signals reach it.
            RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_NODENAME=_NODE,
            RABBITMQ_DIST_PORT=str(self._dist_port),
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "environment"),
            RABBITMQ_CONFIG_FILE=str(self._configuration),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(self.folder / "advanced.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
            RABBITMQ_MNESIA_BASE=str(self.folder / "data"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_PID_FILE=str(self.folder / "node.pid"),
            RABBITMQ_GENERATED_CONFIG_DIR=str(self.folder / "generated"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"-noinput {_LOOPBACK}",
            RABBITMQ_CTL_ERL_ARGS=_LOOPBACK,
        )
        environment["PATH"] = f"{environment.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin"
        return environment

    def _start_epmd(self) -> None:
        """Our own port mapper, in the foreground: Erlang would leave a daemon behind."""
        self._stop_epmd()
        program = _find_epmd()
        self._epmd_port = self.ports.claim("rabbitmq epmd")
        with (self.folder / "epmd.log").open("wb") as log:
            self._epmd = children.spawn(
                [program, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                env=plain_environment(without=("ERL_", "NOTIFY_SOCKET", "LISTEN_")),
                cwd=self.folder,
                output=log,
            )
        epmd = self._epmd
        wait_until(lambda: epmd.poll() is not None or wire.listens(self._epmd_port), 10)
        if epmd.poll() is not None:
            raise ServerFailed(f"epmd, Erlang's port mapper, ended while starting; see {self.folder / 'epmd.log'}")

    def _stop_epmd(self) -> None:
        if self._epmd is not None:
            children.stop(self._epmd, signal.SIGTERM, 5)
            self._epmd = None


def _find_epmd() -> Path:
    on_path = shutil.which("epmd")
    usual = [Path("/usr/bin/epmd"), *Path("/usr/lib/erlang").glob("erts-*/bin/epmd")]
    for candidate in [Path(on_path)] if on_path else usual:
        if candidate.exists():
            return candidate
    raise ServerFailed("epmd, Erlang's port mapper, is missing; it comes with Erlang (Debian: erlang-base).")


def _exchange(drop: Iterable[str], add: Iterable[str]) -> str:
    return (
        'Us = <<"stockroom">>, All = <<".*">>,'
        f"[rabbit_vhost:delete(V, Us) || V <- {_binaries(drop)}],"
        f"[begin rabbit_vhost:add(V, Us),"
        f' ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, All, All, All, Us)'
        f" end || V <- {_binaries(add)}], ok."
    )


def _binaries(names: Iterable[str]) -> str:
    return "[" + ",".join(f"<<{json.dumps(name)}>>" for name in names) + "]"


def _container() -> ContainerSpec:
    arguments = "-rabbit disk_free_limit 50000000"
    return ContainerSpec(
        name="rabbitmq",
        image=REQUIREMENT.image,
        port=5672,
        volume="/var/lib/rabbitmq",
        environment={"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments},
        # An image of Debian's packages: the server's own script here, not the wrapper that lets no signal through.
        script='PATH="/usr/lib/rabbitmq/bin:$PATH" exec docker-entrypoint.sh rabbitmq-server',
        hostname="stockroom",  # the node's data belongs to its host name
    )
