"""Each server: starts, answers, keeps its data over a restart and a crash, and leaves nothing running."""

import asyncio
import json
from collections.abc import Callable
from copy import copy
from types import SimpleNamespace
from typing import cast

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis as RedisClient

from stockroom_local import children
from stockroom_local.errors import ServerFailed
from stockroom_local.pytest_plugin import OwnServers
from stockroom_local.servers import Trio, wire
from stockroom_local.servers.base import Engine, Server
from stockroom_local.servers.postgres import Postgres
from stockroom_local.servers.processes import ProcessEngine
from stockroom_local.servers.redis import Redis

STANDARD_PORTS = {5432, 5672, 6379, 4369, 25672, 15672}


@pytest.fixture(params=["restarted", "killed and started"])
def interrupt(request: pytest.FixtureRequest) -> Callable[[Server], None]:
    def restarted(server: Server) -> None:
        server.restart()

    def killed(server: Server) -> None:
        server.kill()
        assert not server.running
        server.start()

    return restarted if request.param == "restarted" else killed


async def test_acknowledged_data_survives(own_servers: OwnServers, interrupt: Callable[[Server], None]) -> None:
    trio = own_servers()
    urls = trio.environment()
    await _write(trio)
    for server in trio.all:
        interrupt(server)
    assert trio.environment() == urls
    assert await _read(trio) == (["kept"], "kept", "kept")


async def test_a_database_is_dropped_while_somebody_is_connected_whom_only_a_superuser_may_end(
    postgres_server: Postgres,
) -> None:
    """Autovacuum is one, at times of its own choice."""
    postgres_server.create_database("notes")
    url = postgres_server.database_url("notes").replace("stockroom@", f"{postgres_server.superuser}@")
    connection = await asyncpg.connect(url)
    postgres_server.drop_database("notes")
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await connection.execute("select 1")
    connection.terminate()


class Loading(Server):
    """A server that answers once it was asked often enough whether it is loading."""

    title = "Loading"
    url = ""

    def __init__(self, engine: Engine, asked: int) -> None:
        super().__init__(engine)
        self.left = asked

    def answers(self) -> bool:
        return self.left == 0

    def is_loading(self) -> bool:
        self.left -= 1
        return self.left >= 0


def engine(port: int = 0) -> Engine:
    return cast(Engine, SimpleNamespace(port=port, running=lambda: True, log=lambda: ""))


def test_a_server_that_has_much_to_load_is_waited_for() -> None:
    Loading(engine(), 5).wait_ready(0.01)
    with pytest.raises(ServerFailed, match="did not answer"):
        Loading(engine(), -1).wait_ready(0.01)


async def test_a_redis_that_loads_says_so(redis_server: Redis) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        writer.close()

    assert not redis_server.is_loading()
    server = await asyncio.start_server(say, "127.0.0.1", 0)
    loading = copy(redis_server)
    loading.engine = engine(server.sockets[0].getsockname()[1])
    async with server:
        assert await asyncio.to_thread(loading.is_loading)
        assert not await asyncio.to_thread(loading.answers)


async def _write(trio: Trio) -> None:
    database = await asyncpg.connect(trio.postgres.url)
    await database.execute("create table notes (body text)")
    await database.execute("insert into notes values ('kept')")
    await database.close()
    async with await aio_pika.connect(trio.rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("notes", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="notes")
    trio.rabbitmq.settle()
    client = RedisClient.from_url(trio.redis.url)
    await client.set("note", "kept")
    await _bring_to_disk(client)
    await client.aclose()


async def _bring_to_disk(client: RedisClient) -> None:
    """Redis writes once a second; a crash may lose what is younger. Rewriting the file waits for the disk."""
    await client.bgrewriteaof()
    async with asyncio.timeout(20):
        while (await client.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110  Redis tells nobody
            await asyncio.sleep(0.02)


async def _read(trio: Trio) -> tuple[list[str], str, str]:
    database = await asyncpg.connect(trio.postgres.url)
    notes = [row["body"] for row in await database.fetch("select body from notes")]
    await database.close()
    async with await aio_pika.connect(trio.rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("notes")
        message = await queue.get(timeout=20)
        await message.ack()
    client = RedisClient.from_url(trio.redis.url, decode_responses=True)
    note = await client.get("note")
    await client.aclose()
    return notes, message.body.decode(), str(note)


def test_stopping_leaves_no_process_and_no_listener(own_servers: OwnServers) -> None:
    trio = own_servers()
    engines = [server.engine for server in trio.all if isinstance(server.engine, ProcessEngine)]
    if not engines:
        pytest.skip("the servers are containers here")
    members = [member for engine in engines for member in children.family(engine.pid or 0)]
    ports = json.loads((engines[0].folder.parent / "ports.json").read_text())
    assert len(members) > 3
    assert len(ports) == 5
    trio.stop()
    assert not [member for member in members if children.lives(member)]
    assert not [name for name, port in ports.items() if wire.listens(port)]


def test_two_homes_run_side_by_side_away_from_the_standard_ports(own_servers: OwnServers) -> None:
    first, second = own_servers(), own_servers()
    ports = [server.port for trio in (first, second) for server in trio.all]
    assert len(set(ports)) == 6
    assert not STANDARD_PORTS & set(ports)
    assert all(server.answers() for trio in (first, second) for server in trio.all)
    first.stop()
    assert all(server.answers() for server in second.all)
