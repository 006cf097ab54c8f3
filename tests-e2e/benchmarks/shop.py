"""Stockroom under measurement: a shop on a database, a virtual host and a Redis of its own."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from redis import Redis

from benchmarks.process_tree import CLOCK_TICKS
from benchmarks.program import ask, environment
from contracts.keys import LIVE, Generation
from stockroom_local.servers import Trio
from stockroom_local.servers.ports import Ports
from stockroom_local.waiting import wait_until
from system import Process, System, program, wait_for

LEVEL_SECONDS: Final = 1800.0
EMPTY_SECONDS: Final = 600.0
IN_FLIGHT: Final = 1000
"""Commands that are in the executor at a time when it is fed without HTTP."""

NO_EXPIRY: Final = str(365 * 24 * 3600)
"""Seconds: orders of one row must not expire in the middle of the next."""


class Measured(Process):
    """A process whose memory and processor time can be read."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def resident(self) -> int:
        """Bytes of memory that it occupies."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def with_settings(self, settings: Mapping[str, str]) -> "Measured":
        """The same process with other settings, to run in its place."""
        port = int(self.url.rpartition(":")[2])
        return Measured(self.name, self.command, port, {**self._environment, **settings}, self._log)


class MeasuredSystem(System):
    """Its ports are below those of outgoing connections: processes stop and start again and again, and meanwhile
    somebody's connection could have taken theirs.
    """

    def __init__(self, servers: Mapping[str, str], folder: Path, ports: Ports) -> None:
        self._below = ports
        super().__init__(servers, folder)

    def _process(self, name: str, command: Sequence[str], port: int) -> Process:
        kind = "command" if name == "api" else name
        port = self._below.claim(f"{self.folder.name} {name}")
        self.environment[f"STOCKROOM_{kind.upper()}_PORT"] = str(port)
        if name == "api":
            self.environment["STOCKROOM_COMMAND_URL"] = f"http://127.0.0.1:{port}"
        return Measured(name, command, port, self.environment, self.folder / f"{name}.log")

    def one_more_api(self, number: int) -> Process:
        """Beside those that there are, with the same settings; not started."""
        name = f"api-{number}"
        port = self._below.claim(f"{self.folder.name} {name}")
        environment = {**self.environment, "STOCKROOM_COMMAND_PORT": str(port)}
        command = [program("command-service"), "api"]
        process = Measured(name, command, port, environment, self.folder / f"{name}.log")
        self.processes.append(process)
        return process


def migrate(url: str) -> None:
    """Makes the tables of a shop."""
    command = [program("command-service"), "migrate"]
    settings = {"STOCKROOM_POSTGRES_URL": url, "STOCKROOM_LOG_LEVEL": "warning"}
    subprocess.run(command, env=environment(**settings), check=True, stdout=subprocess.DEVNULL)


def empty(redis_url: str) -> None:
    """Deletes every key, and waits until their memory is free: a million products take longer than a command may."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall(asynchronous=True)
        if not wait_until(lambda: not redis.info("memory")["lazyfree_pending_objects"], EMPTY_SECONDS, pause=0.1):
            raise TimeoutError(f"Redis is not empty after {EMPTY_SECONDS:.0f} seconds")


class OurShop:
    """A new, empty shop. Its processes run only inside `running`; nothing of it disturbs a peer's turn."""

    def __init__(self, trio: Trio, folder: Path, name: str, ports: Ports, apis: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._trio = trio
        self._name = name
        trio.postgres.create_database(name)
        trio.rabbitmq.exchange_vhosts(drop=[], add=[name])
        empty(trio.redis.url)
        self.postgres_url = trio.postgres.database_url(name)
        self.rabbitmq_url = trio.rabbitmq.vhost_url(name)
        self.redis_url = trio.redis.url
        self.system = MeasuredSystem(
            {
                "STOCKROOM_POSTGRES_URL": self.postgres_url,
                "STOCKROOM_RABBITMQ_URL": self.rabbitmq_url,
                "STOCKROOM_REDIS_URL": self.redis_url,
                "STOCKROOM_PAYMENT_DEADLINE": NO_EXPIRY,
                "STOCKROOM_LOG_LEVEL": "warning",
            },
            folder,
            ports,
        )
        self.apis = [self.system.api, *(self.system.one_more_api(number) for number in range(2, apis + 1))]
        migrate(self.postgres_url)

    @property
    def command_urls(self) -> list[str]:
        return [api.url for api in self.apis]

    @property
    def query_urls(self) -> list[str]:
        return [self.system.queries.url]

    @contextmanager
    def running(self, *processes: Process) -> Iterator[None]:
        """These processes, or all of them, ready; at the end they are told to stop, and have."""
        wanted = list(processes) or self.system.processes
        try:
            for process in wanted:
                process.start(ready=False)
            for process in wanted:
                wait_for(f"{process.name} ready", process.is_ready, 120)
            yield
        finally:
            running = [process for process in wanted if process.is_running()]
            for process in running:
                process.send(signal.SIGTERM)
            for process in running:
                try:
                    process.stop()
                except subprocess.TimeoutExpired:
                    process.kill()

    def prepare(self) -> None:
        """Runs the whole system for a moment: queues are declared, and the first generation is whole."""
        with self.running():
            self.becomes_level()

    def fill(self, workload: str, *arguments: Any, ready: bool = False) -> dict[str, Any]:
        """Executes commands through the executor, in a process of its own; `ready`: all are made before it begins."""
        request = {"workload": workload, "arguments": arguments, "in_flight": IN_FLIGHT, "ready": ready}
        return ask("ours.executor", request, settings=self.settings)

    @property
    def settings(self) -> dict[str, str]:
        return {name: value for name, value in self.system.environment.items() if name.startswith("STOCKROOM_")}

    def becomes_level(self, seconds: float = LEVEL_SECONDS) -> None:
        """Waits until every subscriber has everything that was committed."""
        if not wait_until(self._is_level, seconds, pause=0.5):
            raise TimeoutError(f"{self._name} is not level with its log after {seconds:.0f} seconds")

    def _is_level(self) -> bool:
        drawn = self.drawn()
        if self.outbox() or drawn > self._checkpoint():
            return False
        handled = self.value("SELECT min(position) FROM process_checkpoints")
        return drawn == 0 if handled is None else bool(handled >= drawn)

    def _checkpoint(self) -> int:
        with Redis.from_url(self.redis_url) as redis:
            live = redis.get(LIVE)
            if live is None:
                return -1
            generation = Generation(int(live))
            whole, checkpoint = redis.mget(generation.complete, generation.checkpoint)
            return int(checkpoint or 0) if whole is not None else -1

    def drawn(self) -> int:
        """The last position of the log."""
        return int(self.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_position_seq"))

    def outbox(self) -> int:
        return int(self.value("SELECT count(*) FROM outbox"))

    def value(self, query: str, *arguments: Any) -> Any:
        """The one value of a query."""
        return asyncio.run(_value(self.postgres_url, query, *arguments))

    def discard(self) -> None:
        self.system.stop()
        self._trio.postgres.drop_database(self._name)
        self._trio.rabbitmq.exchange_vhosts(drop=[self._name], add=[])
        empty(self._trio.redis.url)


async def _value(url: str, query: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def samples_of(process: Process, metric: str, total: float, seconds: float, pause: float) -> list[tuple[float, float]]:
    """(seconds, how much) of a counter until it shows `total`; a process that is only starting shows nothing.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    began = time.perf_counter()
    samples: list[tuple[float, float]] = []
    while not samples or samples[-1][1] < total:
        with suppress(httpx.TransportError):
            count = process.metric(metric)
            samples.append((time.perf_counter() - began, count))
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"{process.name}: {metric} shows {samples[-1:]} of {total:,.0f}\n{process.tail()}")
        time.sleep(pause)
    return samples
