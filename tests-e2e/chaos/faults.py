"""What is done to processes, servers and their connections. A fault leaves all running again; it need not work yet."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import asyncpg

from chaos.shop import KINDS, SERVERS, Shop
from stockroom_local.servers.rabbitmq import RabbitMQEngine
from stockroom_local.servers.redis import RedisEngine
from system import Process

Inject = Callable[[Shop, Random], str]
"""Does it, and tells in a few words to whom."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`is_excuse`: reads may answer 503 meanwhile. `is_alone`: nothing else is done meanwhile."""

    name: str
    inject: Inject
    is_excuse: bool = True
    is_alone: bool = False


class Skipped(Exception):
    """It can't be done here."""


def linger(random: Random, least: float, most: float) -> None:
    """The load goes on meanwhile: how long a fault lasts is part of the fault, no waiting for anything."""
    time.sleep(random.uniform(least, most))


def kill(kind: str) -> Fault:
    def inject(shop: Shop, random: Random) -> str:
        victims = shop.all[kind] if random.random() < 0.3 else [random.choice(shop.all[kind])]
        for process in victims:
            process.kill()
        linger(random, 0, 1.5)
        for process in victims:
            process.start(ready=False)
        return ", ".join(process.name for process in victims)

    return Fault(f"kill {kind}", inject)


def freeze(kind: str, server: str) -> Fault:
    """One stops in mid-motion, loses its connections to a server to another, and goes on as if nothing had been."""

    def inject(shop: Shop, random: Random) -> str:
        process = random.choice(shop.all[kind])
        process.send(signal.SIGSTOP)
        try:
            linger(random, 0, 0.5)
            shop.proxies[process.name, server].drop()
            linger(random, 1.5, 4)
        finally:
            process.send(signal.SIGCONT)
        return process.name

    return Fault(f"freeze {kind}", inject)


def cut(kind: str, server: str) -> Fault:
    """The connection breaks in the middle of a message; once more as soon as it is there again."""

    def inject(shop: Shop, random: Random) -> str:
        counts = []
        for process in shop.all[kind]:
            proxy = shop.proxies[process.name, server]
            counts.append(random.randrange(1, 3000))
            proxy.cut_after(counts[-1])
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(_is_armed(shop, process, server) for process in shop.all[kind]):
            time.sleep(0.05)
        for process in shop.all[kind]:
            shop.proxies[process.name, server].forget()
        return f"after {counts} bytes"

    return Fault(f"cut {kind}–{server}", inject)


def _is_armed(shop: Shop, process: Process, server: str) -> bool:
    return shop.proxies[process.name, server].is_armed


def drop(server: str) -> Fault:
    """Every connection to a server is reset at once, the server lives on."""

    def inject(shop: Shop, _random: Random) -> str:
        for (_name, its), proxy in shop.proxies.items():
            if its == server:
                proxy.drop()
        return "all connections"

    return Fault(f"reset all to {server}", inject)


def terminate_sessions(shop: Shop, _random: Random) -> str:
    """As an administrator of Postgres would."""

    async def run() -> int:
        connection = await asyncpg.connect(shop.servers.postgres.url)
        try:
            ended = await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()
        return len(ended)

    return f"{asyncio.run(run())} sessions"


def close_by_broker(shop: Shop, _random: Random) -> str:
    engine = shop.servers.rabbitmq.engine
    if not isinstance(engine, RabbitMQEngine):
        raise Skipped("needs rabbitmqctl")
    engine.tool("rabbitmqctl", "close_all_connections", "chaos")
    return "by rabbitmqctl"


def close_by_redis(shop: Shop, _random: Random) -> str:
    engine = shop.servers.redis.engine
    if not isinstance(engine, RedisEngine):
        raise Skipped("needs redis-cli")
    for kind in ("normal", "pubsub"):
        engine.tool("redis-cli", "CLIENT", "KILL", "TYPE", kind)
    return "by CLIENT KILL"


def restart_postgres(shop: Shop, random: Random) -> str:
    shop.servers.postgres.stop()
    linger(random, 0, 1)
    shop.servers.postgres.start()
    return "fast"


def crash_postgres(shop: Shop, random: Random) -> str:
    shop.servers.postgres.kill()
    linger(random, 0, 1)
    shop.servers.postgres.start()
    return "immediate"


def restart_rabbitmq(shop: Shop, _random: Random) -> str:
    shop.servers.rabbitmq.restart()
    return "graceful"


def crash_rabbitmq(shop: Shop, _random: Random) -> str:
    shop.servers.rabbitmq.settle()
    shop.servers.rabbitmq.kill()
    shop.servers.rabbitmq.start()
    return "SIGKILL"


def restart_redis(shop: Shop, random: Random) -> str:
    shop.servers.redis.stop()
    linger(random, 0, 1)
    shop.servers.redis.start()
    return "clean"


def crash_redis(shop: Shop, random: Random) -> str:
    shop.servers.redis.kill()
    linger(random, 0, 1)
    shop.servers.redis.start()
    return "SIGKILL"


def everything(shop: Shop, _random: Random) -> str:
    """The lights go out."""
    shop.servers.rabbitmq.settle()
    for process in shop.processes:
        process.kill()
    for server in shop.servers.all:
        server.kill()
    shop.servers.start()
    for process in shop.processes:
        process.start(ready=False)
    return "all processes and servers"


FAULTS: Final = (
    *(kill(kind) for kind in KINDS),
    *(freeze(kind, SERVERS[kind][0]) for kind in ("api", "worker", "relay", "processes")),
    freeze("projector", "rabbitmq"),
    *(cut(kind, server) for kind in KINDS for server in SERVERS[kind]),
    *(drop(server) for server in ("postgres", "rabbitmq", "redis")),
    Fault("end sessions of postgres", terminate_sessions),
    Fault("end connections of rabbitmq", close_by_broker),
    Fault("end connections of redis", close_by_redis),
    Fault("restart postgres", restart_postgres),
    Fault("crash postgres", crash_postgres),
    Fault("restart rabbitmq", restart_rabbitmq),
    Fault("crash rabbitmq", crash_rabbitmq),
    Fault("restart redis", restart_redis),
    Fault("crash redis", crash_redis),
    Fault("crash everything", everything),
)
