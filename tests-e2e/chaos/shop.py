"""The whole system, several of each process, every connection to a server through a proxy of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import httpx

from chaos.load import Loop
from chaos.proxy import Proxy
from contracts.topology import DEFAULT_PARTITIONS, partition_of
from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.requirements import Means
from system import Process, free_port, program, wait_for

KINDS: Final = ("api", "worker", "relay", "processes", "projector", "query")
EACH: Final = 2
SERVERS: Final = {
    "api": ("postgres",),
    "worker": ("postgres", "rabbitmq"),
    "relay": ("postgres", "rabbitmq"),
    "processes": ("postgres", "rabbitmq"),
    "projector": ("redis", "rabbitmq"),
    "query": ("redis",),
}
PAYMENT_DEADLINE: Final = 15
"""Seconds: short, so that orders expire in the midst of everything."""

START_SECONDS: Final = 300
RECOVERY_SECONDS: Final = 180
"""A fault that all has not recovered from by then is a failure: nobody helps."""


class NotRecovered(Exception):
    """The system does not answer as it should, long after a fault."""


class Shop:
    """What is to be broken. `command` and `query` are clients for whoever looks at it from outside."""

    def __init__(self, means: Mapping[str, Means], loop: Loop) -> None:
        self.home = new_home()
        self.folder = self.home / "logs"
        self.folder.mkdir()
        self.servers = Trio(self.home, means)
        self.loop = loop
        self.proxies: dict[tuple[str, str], Proxy] = {}
        """By (process name, server)."""
        self.all: dict[str, list[Process]] = {kind: [] for kind in KINDS}
        self.witnesses = [_key_in(partition) for partition in range(DEFAULT_PARTITIONS)]
        """A product in each partition, that tells whether it moves."""
        self._beats = 0

    @property
    def processes(self) -> list[Process]:
        return [process for kind in KINDS for process in self.all[kind]]

    @property
    def command_urls(self) -> list[str]:
        return [process.url for process in self.all["api"]]

    @property
    def query_urls(self) -> list[str]:
        return [process.url for process in self.all["query"]]

    def start(self) -> None:
        self.servers.start()
        # Without compiled modules each start would cost seconds, and this run starts hundreds of processes.
        unwanted = ("STOCKROOM_", "PYTHONDONTWRITEBYTECODE")
        plain = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.environment = {**plain, **self.servers.environment(), "PYTHONUNBUFFERED": "1"}
        self.environment["STOCKROOM_PAYMENT_DEADLINE"] = str(PAYMENT_DEADLINE)
        migrate = [program("command-service"), "migrate"]
        subprocess.run(migrate, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        for number in range(EACH):
            for kind in KINDS:
                self.all[kind].append(self._make(kind, number))
        self.environment["STOCKROOM_COMMAND_URL"] = self.command_urls[0]
        self.command = httpx.Client(base_url=self.command_urls[0], timeout=40)
        self.query = httpx.Client(base_url=self.query_urls[0], timeout=40)
        for process in self.processes:
            process.start(ready=False)
        for process in self.processes:
            wait_for(f"{process.name} ready", process.is_ready, START_SECONDS)
        for product_id in self.witnesses:
            body = {"id": product_id, "name": "Witness", "price": "1", "initial_stock": 1000}
            assert self.command.post("/products", json=body).status_code == 201

    def _make(self, kind: str, number: int) -> Process:
        name, port = f"{kind}{number + 1}", free_port()
        setting = {"api": "COMMAND"}.get(kind, kind.upper())
        environment = {**self.environment, f"STOCKROOM_{setting}_PORT": str(port)}
        if kind == "projector":
            environment["STOCKROOM_COMMAND_URL"] = self.command_urls[number]
        for server in SERVERS[kind]:
            variable = f"STOCKROOM_{server.upper()}_URL"
            environment[variable] = self._through_proxy(name, server, self.environment[variable])
        words = {"projector": ["projector"], "query": ["query-service"]}.get(kind, ["command-service", kind])
        return Process(name, [program(words[0]), *words[1:]], port, environment, self.folder / f"{name}.log")

    def _through_proxy(self, name: str, server: str, url: str) -> str:
        parts = urlsplit(url)
        assert parts.port is not None
        proxy = self.proxies[name, server] = Proxy(parts.port)
        self.loop.run(proxy.start())
        netloc = parts.netloc.replace(f":{parts.port}", f":{proxy.port}")
        return urlunsplit(parts._replace(netloc=netloc))

    def stop(self) -> None:
        """Ends everything. Nothing that was started is left running, whatever state it is in."""
        with ExitStack() as stack:
            for proxy in self.proxies.values():
                stack.callback(lambda proxy=proxy: self.loop.run(proxy.stop()))  # type: ignore[misc]
            stack.callback(self.servers.stop)
            for process in self.processes:
                stack.callback(process.kill)

    def discard(self) -> None:
        """Deletes what `stop` has left."""
        for server in self.servers.all:
            server.discard()
        shutil.rmtree(self.home, ignore_errors=True)

    def ask(self, path: str) -> Any:
        """What the command service says, once it says something."""

        def answer() -> Any:
            try:
                answered = self.command.get(path)
            except httpx.TransportError:
                return None
            return answered.json() if answered.status_code == 200 else None

        return wait_for(f"GET {path}", answer, RECOVERY_SECONDS)

    def live_generation(self) -> int:
        """The number of the read model that queries read."""
        return int(self.ask("/generations")["live"])

    def recovered(self, seconds: float = RECOVERY_SECONDS) -> None:
        """Returns when every process is ready, and each partition's changes, through each api, are shown by all.

        Raises:
            NotRecovered: that did not come within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (trouble := self._trouble()) is not None:
            if time.monotonic() > deadline:
                raise NotRecovered(f"{trouble}, after {seconds:.0f} seconds")
            time.sleep(0.1)

    def _trouble(self) -> str | None:
        for process in self.processes:
            if not process.is_ready():
                return f"{process.name} is not ready"
        try:
            return self._beat()
        except httpx.TransportError as error:
            return f"{type(error).__name__} {error}"

    def _beat(self) -> str | None:
        """Changes a price in each partition, and looks for it through every query service."""
        self._beats += 1
        price = f"{self._beats}.25"
        tokens = []
        with httpx.Client(timeout=10) as http:
            for number, product_id in enumerate(self.witnesses):
                api = self.command_urls[number % EACH]
                changed = http.post(f"{api}/products/{product_id}/price-changes", json={"price": price})
                if changed.status_code != 204:
                    return f"a command is answered {changed.status_code} {changed.text}"
                tokens.append(changed.headers["consistency-token"])
            for url in self.query_urls:
                headers = {"Consistency-Token": ",".join(tokens), "Prefer": "wait=5"}
                shown = http.get(f"{url}/products", params={"ids": ",".join(self.witnesses)}, headers=headers)
                if shown.status_code != 200:
                    return f"a read is answered {shown.status_code} {shown.text}"
                prices = {item["price"] for item in shown.json()["items"]}
                if prices != {price}:
                    raise NotRecovered(f"the price was set to {price}, a read with its token showed {prices}")
        return None

    def run(self, *words: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """One of our programs, as an operator runs it. What it says is kept beside the logs."""
        done = subprocess.run(
            [program(words[0]), *words[1:]],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        with (self.folder / "operator.log").open("a") as log:
            log.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done


def _key_in(partition: int) -> str:
    """The id of a product that lies in `partition`."""
    ids = (str(UUID(int=n << 96, version=4)) for n in range(1, 10_000))
    return next(one for one in ids if partition_of(one, DEFAULT_PARTITIONS) == partition)
