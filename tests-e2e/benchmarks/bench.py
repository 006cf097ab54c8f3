"""What every row measures with: the servers, the peers, the load, and rounds in which the sides take turns."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx

from benchmarks.figures import Result
from benchmarks.program import ask, environment
from benchmarks.settings import CONNECTIONS, Settings
from benchmarks.shop import OurShop, migrate
from stockroom_local import children
from stockroom_local.servers import Trio
from stockroom_local.servers.ports import Ports
from system import wait_for

T = TypeVar("T")

PEER_READY_SECONDS = 60
BUSY_CLIENT = 0.9
"""A larger share of a core that the load needs puts its figure in doubt."""


Request = tuple[str, str, str | None]
"""Method, path and body."""


class Bench:
    """`tell` hears what is being done."""

    def __init__(self, settings: Settings, trio: Trio, peers: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self.settings = settings
        self.trio = trio
        self.folder = folder
        self.tell = tell
        self._peers = str(peers)
        self._ports = Ports(folder / "ports.json")
        self._names = itertools.count(1)
        self.keep: Callable[[Result], None] = lambda _: None
        """Hears what a row has so far, when it takes so long that it would be a pity to lose it."""
        self.doubts: set[str] = set()
        """What must be said about the figures of the row that is measured."""

    def rounds(self, sides: Mapping[str, Callable[[], T]], least: int = 1) -> dict[str, list[T]]:
        """What each side came to in each round. They take turns, and every other round goes the other way round."""
        found: dict[str, list[T]] = {side: [] for side in sides}
        count = max(least, self.settings.rounds)
        for number in range(count):
            for side in list(sides)[:: 1 if number % 2 == 0 else -1]:
                self.tell(f"{side}, round {number + 1} of {count}")
                self._settle()
                found[side].append(sides[side]())
        return found

    def fastest(self, what: str, options: Sequence[int], run: Callable[[int], dict[str, Any]]) -> int:
        """The option with which a peer is fastest in a short trial: how many threads, or workers, suit it here."""
        rates = {}
        for option in options:
            self.tell(f"trying {option} {what}")
            self._settle()
            rates[option] = run(option)["rate"]
        return max(options, key=lambda option: rates[option])

    def _settle(self) -> None:
        """What an earlier turn left to be written does not burden this one."""
        asyncio.run(_checkpoint(self.trio))

    @contextmanager
    def shop(self) -> Iterator[OurShop]:
        """A new shop of ours, which is gone afterwards. One at a time: they share the Redis."""
        name = f"ours_{next(self._names)}"
        shop = OurShop(self.trio, self.folder / name, name, self._ports, self.settings.apis)
        try:
            yield shop
        finally:
            shop.discard()

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new, empty database for a peer; gone afterwards."""
        name = f"peer_{next(self._names)}"
        self.trio.postgres.create_database(name)
        try:
            yield self.trio.postgres.database_url(name)
        finally:
            self.trio.postgres.drop_database(name)

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """A new virtual host for a peer; gone afterwards."""
        name = f"peer_{next(self._names)}"
        self.trio.rabbitmq.exchange_vhosts(drop=[], add=[name])
        try:
            yield self.trio.rabbitmq.vhost_url(name)
        finally:
            self.trio.rabbitmq.exchange_vhosts(drop=[name], add=[])

    @contextmanager
    def shop_tables(self) -> Iterator[str]:
        """A database with the tables of a shop and nothing in them, beside the shop; gone afterwards."""
        with self.database() as url:
            migrate(url)
            yield url

    def ours(self, module: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of one of the programs in `ours`."""
        return ask(f"ours.{module}", request)

    def load(self, module: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of one of the programs in `client`."""
        seen = ask(f"client.{module}", request)
        if seen["client"] > BUSY_CLIENT:
            self.doubts.add("the load itself needed almost a whole core: what was measured may be able to do more")
        return seen

    def peer(self, module: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of one of the programs in `peers`, in their own environment."""
        return ask(f"peers.{module}", request, python=self._peers)

    @contextmanager
    def served(self, module: str, processes: int = 1, **settings: str) -> Iterator[list[str]]:
        """The URLs of so many uvicorns that serve an application of `peers`, as our own processes are served."""
        with ExitStack() as stack:
            urls = [stack.enter_context(self._uvicorn(module, settings)) for _ in range(processes)]
            yield urls

    @contextmanager
    def _uvicorn(self, module: str, settings: Mapping[str, str]) -> Iterator[str]:
        port = self._ports.claim(f"peer {next(self._names)}")
        options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        command = [self._peers, "-m", "uvicorn", f"benchmarks.peers.{module}:app", *options, "--log-level", "warning"]
        with self._started(module, command, port, settings) as url:
            yield url

    @contextmanager
    def responder(self, size: int) -> Iterator[str]:
        """A server that looks at nothing: what the load itself can do."""
        port = self._ports.claim(f"peer {next(self._names)}")
        command = [self._peers, "-m", "benchmarks.client.responder", str(port), str(size)]
        with self._started("responder", command, port, {}) as url:
            yield url

    @contextmanager
    def _started(self, name: str, command: list[str], port: int, settings: Mapping[str, str]) -> Iterator[str]:
        log = self.folder / f"{name}-{port}.log"
        with log.open("wb") as output:
            child = children.spawn(command, env=environment(**settings), cwd=self.folder, output=output)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{name} answers", lambda: _answers(url), PEER_READY_SECONDS)
            yield url
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text(errors='replace')[-4000:]}") from error
        finally:
            children.kill(child)

    def closed_loop(self, urls: list[str], requests: list[Request], expected: int, **options: Any) -> dict[str, Any]:
        """How much the servers answer when every connection sends again as soon as it is answered.

        Raises:
            AssertionError: an answer had another status.
        """
        asked = {"connections": CONNECTIONS, "warm": self.settings.warm, "seconds": self.settings.seconds, **options}
        return _expect(self.load("closed_loop", {"urls": urls, "requests": requests, **asked}), expected)

    def constant_rate(self, urls: list[str], requests: list[Request], rate: float, **options: Any) -> dict[str, Any]:
        """How long answers take when requests come at a constant rate. The caller judges the statuses."""
        asked = {"connections": CONNECTIONS, "warm": self.settings.warm, "seconds": self.settings.seconds, **options}
        return self.load("constant_rate", {"urls": urls, "requests": requests, "rate": rate, **asked})

    def own_writes(self, shop: OurShop, body: str, **options: Any) -> dict[str, Any]:
        """Clients who write and read what they wrote."""
        asked = {"clients": CONNECTIONS, "warm": self.settings.warm, "seconds": self.settings.seconds, **options}
        seen = self.load(
            "own_writes", {"commands": shop.command_urls, "queries": shop.query_urls, "body": body, **asked}
        )
        return _expect(seen, 201)


def _expect(seen: dict[str, Any], status: int) -> dict[str, Any]:
    if set(seen["statuses"]) != {str(status)}:
        raise AssertionError(f"expected {status} alone, but saw {seen['statuses']}")
    return seen


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(f"{url}/docs", timeout=5)
        return True
    return False


async def _checkpoint(trio: Trio) -> None:
    url = trio.postgres.database_url("postgres").replace("//stockroom@", f"//{trio.postgres.superuser}@")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
