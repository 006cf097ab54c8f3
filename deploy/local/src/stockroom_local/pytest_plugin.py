"""Real servers for tests: private ones, on ports of their own, started when the first test asks and stopped at the end.

The URLs in the environment are not used: tests empty what they get.

==================  ===========================================================================================
postgres_url        a new, empty database, dropped after the test
rabbitmq_url        a virtual host without any queue or exchange of ours, deleted some time after the test
redis_url           a Redis without keys; tests that share it run one after the other
postgres_server     the session's servers themselves; a test that stops them spoils the others, use own_servers
rabbitmq_server
redis_server
own_servers         a factory of servers that belong to one test, to be killed and restarted; gone after the test
==================  ===========================================================================================
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import hypothesis
import pytest

from stockroom_local.servers import Postgres, RabbitMQ, Redis, Trio
from stockroom_local.servers.install import obtain
from stockroom_local.servers.requirements import Means
from stockroom_local.servers.trio import REQUIREMENTS

OwnServers = Callable[[], Trio]
"""Each call gives another three servers, all of them started."""

_names = count(1)


def pytest_configure() -> None:
    """Property tests have no deadline for an example: what a busy machine takes longer for is no failure."""
    hypothesis.settings.register_profile("stockroom", deadline=None)
    hypothesis.settings.load_profile("stockroom")


@pytest.fixture(scope="session")
def server_means(pytestconfig: pytest.Config) -> Mapping[str, Means]:
    """By what the servers run here, by title; found, installed or containers, as in `make run`."""
    return obtain(REQUIREMENTS, _teller(pytestconfig), throwaway=True)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """The folder of the session's servers, gone afterwards."""
    home = new_home()
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def session_servers(servers_home: Path, server_means: Mapping[str, Means]) -> Iterator[Trio]:
    """The session's servers, not started yet."""
    trio = Trio(servers_home, server_means)
    yield trio
    trio.discard()


@pytest.fixture(scope="session")
def postgres_server(session_servers: Trio) -> Postgres:
    """The session's PostgreSQL."""
    session_servers.postgres.start()
    return session_servers.postgres


@pytest.fixture(scope="session")
def rabbitmq_server(session_servers: Trio) -> RabbitMQ:
    """The session's RabbitMQ."""
    session_servers.rabbitmq.start()
    return session_servers.rabbitmq


@pytest.fixture(scope="session")
def redis_server(session_servers: Trio) -> Redis:
    """The session's Redis."""
    session_servers.redis.start()
    return session_servers.redis


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A new, empty database that the test owns."""
    database = f"test_{next(_names)}"
    postgres_server.create_database(database)
    yield postgres_server.database_url(database)
    postgres_server.drop_database(database)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """A Redis without any key."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(scope="session")
def vhosts(rabbitmq_server: RabbitMQ) -> "Vhosts":
    """Where `rabbitmq_url` gets its virtual hosts from."""
    return Vhosts(rabbitmq_server)


@pytest.fixture
def rabbitmq_url(vhosts: "Vhosts", rabbitmq_server: RabbitMQ) -> Iterator[str]:
    """A virtual host that no other test has used."""
    vhost = vhosts.take()
    yield rabbitmq_server.vhost_url(vhost)
    vhosts.give_back(vhost)


@pytest.fixture
def own_servers(server_means: Mapping[str, Means]) -> Iterator[OwnServers]:
    """A factory of servers that only this test uses."""
    made: list[tuple[Trio, Path]] = []

    def make() -> Trio:
        home = new_home()
        trio = Trio(home, server_means)
        made.append((trio, home))
        trio.start()
        return trio

    yield make
    for trio, home in made:
        trio.discard()
        shutil.rmtree(home, ignore_errors=True)


class Vhosts:
    """Hands out virtual hosts, each once.

    A call to rabbitmqctl takes about a second, so that one makes a whole batch of them and deletes those used up.
    """

    batch = 20

    def __init__(self, server: RabbitMQ) -> None:
        self._server = server
        self._fresh: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """A virtual host in which nothing has been declared."""
        if not self._fresh:
            fresh = [f"test-{next(_names)}" for _ in range(self.batch)]
            self._server.exchange_vhosts(drop=self._used, add=fresh)
            self._used, self._fresh = [], fresh
        return self._fresh.pop(0)

    def give_back(self, vhost: str) -> None:
        """The test is over; the virtual host goes with the next batch."""
        self._used.append(vhost)


def new_home() -> Path:
    """An empty folder for servers, which the user that PostgreSQL runs as can reach."""
    home = Path(tempfile.mkdtemp(prefix="stockroom-test-"))
    home.chmod(0o755)
    return home


def _teller(config: pytest.Config) -> Callable[[str], None]:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return terminal.write_line if terminal is not None else print
