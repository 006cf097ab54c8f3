"""The whole system as processes, for journeys and faults: what `make run` starts, under a test's control."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from stockroom_local.servers.ports import choose

T = TypeVar("T")

READY_SECONDS: Final = 60
QUIET_SECONDS: Final = 60
PORTS: Final = ("command", "query", "projector", "relay", "worker", "processes")

in_passing: Final = httpx.Client(timeout=5, limits=httpx.Limits(max_keepalive_connections=0))
"""For single questions to processes that come and go: a new client each time would read the certificates of all
authorities first, which takes some 45 ms of a core that something else is measured on, or waits for.
"""

_given: set[int] = set()


def wait_for(what: str, condition: Callable[[], T], seconds: float = READY_SECONDS) -> T:
    """The condition's first truthy value; fails the test when there is none before the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} seconds, last seen {value!r}")
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, that no outgoing connection takes, and that was not given before."""
    port = choose(_given)
    _given.add(port)
    return port


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


class Process:
    """One of ours: it can be started, killed and started again, on the same port."""

    def __init__(self, name: str, command: Sequence[str], port: int, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.url = f"http://127.0.0.1:{port}"
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True, command: Sequence[str] | None = None) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command or self.command), env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        if ready:
            wait_for(f"{self.name} ready", self.is_ready)

    def is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself:\n{self.tail()}"
        try:
            return in_passing.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_killed(self) -> None:
        """Until the process has ended by SIGKILL, as it was told to do at some instruction."""
        assert self._process is not None
        assert self._process.wait(READY_SECONDS) == -signal.SIGKILL, self.tail()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal: SIGSTOP freezes it, SIGCONT lets it go on as if no time had passed."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ends it as an operator would; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = in_passing.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)


class Shop:
    """A running system, wherever it runs: `command` and `query` are clients of its two APIs, and all that is known."""

    def __init__(self, command_url: str, query_url: str) -> None:
        self.command = httpx.Client(base_url=command_url, timeout=40)
        self.query = httpx.Client(base_url=query_url, timeout=40)
        one_address = self.command.base_url == self.query.base_url
        self.documentation = (
            (self.command, "/commands-api" if one_address else ""),
            (self.query, "/query-api" if one_address else ""),
        )
        """Below which path of which client each API is documented: a proxy in front of both has them apart."""

    def close(self) -> None:
        self.command.close()
        self.query.close()

    def add_product(self, **fields: Any) -> httpx.Response:
        response = self.command.post("/products", json={"name": "A product", "price": "1.00", **fields})
        assert response.status_code == 201, response.text
        return response

    def read(self, path: str, token: str | None = None, wait: int = 30, **parameters: Any) -> httpx.Response:
        """A query that has seen the write behind `token`."""
        headers = {"Consistency-Token": token, "Prefer": f"wait={wait}"} if token else {}
        return self.query.get(path, params=parameters, headers=headers)


class System(Shop):
    """All processes against three servers, under our control."""

    def __init__(self, servers: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self._ports = {name: free_port() for name in PORTS}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("STOCKROOM_")},
            **servers,
            **{f"STOCKROOM_{name.upper()}_PORT": str(port) for name, port in self._ports.items()},
            "STOCKROOM_COMMAND_URL": f"http://127.0.0.1:{self._ports['command']}",
            "PYTHONUNBUFFERED": "1",
        }
        self.api = self._process("api", [program("command-service"), "api"], self._ports["command"])
        self.relay = self._process("relay", [program("command-service"), "relay"], self._ports["relay"])
        self.projector = self._process("projector", [program("projector")], self._ports["projector"])
        self.queries = self._process("query", [program("query-service")], self._ports["query"])
        self.worker = self._process("worker", [program("command-service"), "worker"], self._ports["worker"])
        self.managers = self._process("processes", [program("command-service"), "processes"], self._ports["processes"])
        self.processes = [self.api, self.relay, self.worker, self.managers, self.projector, self.queries]
        super().__init__(self.api.url, self.queries.url)

    def _process(self, name: str, command: Sequence[str], port: int) -> Process:
        return Process(name, command, port, self.environment, self.folder / f"{name}.log")

    def another(self, kind: str, **settings: str) -> Process:
        """Another api, worker or processes beside those that run, with other settings where it has them."""
        port = free_port()
        setting = "STOCKROOM_COMMAND_PORT" if kind == "api" else f"STOCKROOM_{kind.upper()}_PORT"
        environment = {**self.environment, setting: str(port)}
        environment |= {f"STOCKROOM_{name.upper()}": value for name, value in settings.items()}
        name = f"{kind}-{port}"
        process = Process(name, [program("command-service"), kind], port, environment, self.folder / f"{name}.log")
        self.processes.append(process)
        process.start()
        return process

    def start(self) -> None:
        migrate = [program("command-service"), "migrate"]
        subprocess.run(migrate, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        for process in self.processes:
            process.start(ready=False)
        for process in self.processes:
            wait_for(f"{process.name} ready", process.is_ready)

    def stop(self) -> None:
        self.close()
        for process in self.processes:
            if process.is_running():
                process.kill()
