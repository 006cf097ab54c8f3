"""The three servers together."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from stockroom_local.servers import postgres, rabbitmq, redis
from stockroom_local.servers.base import Server
from stockroom_local.servers.requirements import Means

# RabbitMQ first: it takes longest to start and needs nothing from us meanwhile.
REQUIREMENTS = (rabbitmq.REQUIREMENT, redis.REQUIREMENT, postgres.REQUIREMENT)


class Trio:
    """A private PostgreSQL, RabbitMQ and Redis under one home folder."""

    def __init__(self, home: Path, means: Mapping[str, Means]) -> None:
        self.postgres = postgres.Postgres(home, means[postgres.REQUIREMENT.title])
        self.rabbitmq = rabbitmq.RabbitMQ(home, means[rabbitmq.REQUIREMENT.title])
        self.redis = redis.Redis(home, means[redis.REQUIREMENT.title])

    @property
    def all(self) -> tuple[Server, ...]:
        """In the order in which they are best launched."""
        return (self.rabbitmq, self.redis, self.postgres)

    def environment(self) -> dict[str, str]:
        """The settings that lead our services to these servers."""
        return {
            postgres.REQUIREMENT.setting: self.postgres.url,
            rabbitmq.REQUIREMENT.setting: self.rabbitmq.url,
            redis.REQUIREMENT.setting: self.redis.url,
        }

    def start(self) -> None:
        """All of them, side by side; if one fails, none is left running."""
        try:
            for server in self.all:
                server.launch()
            for server in self.all:
                server.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """All of them, cleanly; one that won't doesn't spare the others."""
        stop_all(self.all)

    def discard(self) -> None:
        """Stops them and deletes their data."""
        self.stop()
        for server in self.all:
            server.discard()


def make(title: str, home: Path, means: Means) -> Server:
    """The server with that title."""
    kinds = {each.title: each for each in (postgres.Postgres, rabbitmq.RabbitMQ, redis.Redis)}
    return kinds[title](home, means)


def stop_all(servers: Sequence[Server]) -> None:
    """Stops each of them, whatever happens to the others."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
