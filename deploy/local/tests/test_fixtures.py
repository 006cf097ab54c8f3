"""What the fixtures promise to every other test."""

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity
from redis.asyncio import Redis as RedisClient

from stockroom_local.servers import Postgres, RabbitMQ, Redis


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_gets_an_empty_database(postgres_url: str, turn: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("create table notes (body text)")
    assert await connection.fetchval("select count(*) from notes") == 0
    assert await connection.fetchval("select usesuper from pg_user where usename = current_user") is False
    await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_gets_a_virtual_host_of_its_own(rabbitmq_url: str, turn: int) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelNotFoundEntity):
            await channel.declare_queue("notes", passive=True)
        channel = await connection.channel()
        await channel.declare_queue("notes", durable=True)


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_gets_an_empty_redis(redis_url: str, turn: int) -> None:
    client = RedisClient.from_url(redis_url)
    assert await client.dbsize() == 0
    await client.set("note", "left behind")
    await client.aclose()


async def test_the_servers_are_as_durable_as_in_production(postgres_server: Postgres, redis_server: Redis) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    settings = {name: await connection.fetchval(f"show {name}") for name in ("fsync", "synchronous_commit")}
    await connection.close()
    assert settings == {"fsync": "on", "synchronous_commit": "on"}
    client = RedisClient.from_url(redis_server.url, decode_responses=True)
    policy = await client.config_get("maxmemory-policy", "appendonly", "appendfsync")
    await client.aclose()
    assert policy == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


async def test_used_virtual_hosts_are_deleted(rabbitmq_server: RabbitMQ) -> None:
    rabbitmq_server.exchange_vhosts(drop=[], add=["short-lived"])
    async with await aio_pika.connect(rabbitmq_server.vhost_url("short-lived")):
        pass
    rabbitmq_server.exchange_vhosts(drop=["short-lived"], add=[])
    names = rabbitmq_server.engine.tool("rabbitmqctl", "list_vhosts", "name").split()
    assert "short-lived" not in names
