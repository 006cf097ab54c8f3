"""What everything ran on: for the figures to be read by."""

import asyncio
import json
import os
import platform
import subprocess
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
from redis import Redis

from stockroom_local.servers import Trio

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

_LIST_PACKAGES = (
    "import json; from importlib.metadata import distributions as d;"
    "print(json.dumps({p.metadata['Name'].lower(): p.version for p in d()}))"
)


class NotDurable(Exception):
    """A server would lose what it has acknowledged: no figure of it is worth anything."""


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def load_average() -> float:
    """Processes that ran or wanted to, over the last minute."""
    return os.getloadavg()[0]


def busy(seconds: float = 1.0) -> float:
    """The share of all cores that is at work just now, whoever has it; 0 where it can't be told."""
    try:
        before, idle_before = _ticks()
        time.sleep(seconds)
        after, idle_after = _ticks()
    except OSError:
        return 0.0
    return 1 - (idle_after - idle_before) / max(1, after - before)


def _ticks() -> tuple[int, int]:
    """(all, idle) since the machine has started."""
    counts = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(counts[:8]), counts[3] + counts[4]


def our_packages() -> dict[str, str]:
    return {each.metadata["Name"].lower(): each.version for each in distributions()}


def packages_of(python: Path) -> dict[str, str]:
    """Those of another environment."""
    said = subprocess.run([python, "-c", _LIST_PACKAGES], check=True, capture_output=True, text=True).stdout
    packages: dict[str, str] = json.loads(said)
    return packages


def servers(trio: Trio) -> dict[str, Any]:
    """Versions and settings of the three servers.

    Raises:
        NotDurable: Postgres answers before a commit is on disk.
    """
    postgres = asyncio.run(_postgres(trio.postgres.url))
    wrong = {name: value for name, value in postgres["settings"].items() if DURABLE.get(name, value) != value}
    if wrong:
        raise NotDurable(f"Postgres runs with {wrong}")
    with Redis.from_url(trio.redis.url) as redis:
        configured = {name: redis.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy")}
        version = redis.info("server")["redis_version"]
    return {
        "postgres": postgres,
        "rabbitmq": {"version": asyncio.run(_rabbitmq(trio.rabbitmq.url))},
        "redis": {"version": version, "settings": configured},
    }


async def _postgres(url: str) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    names = (*DURABLE, "shared_buffers", "max_wal_size", "max_connections", "wal_level")
    settings = {name: await connection.fetchval(f"SHOW {name}") for name in names}
    version = await connection.fetchval("SHOW server_version")
    await connection.close()
    return {"version": version, "settings": settings}


async def _rabbitmq(url: str) -> str:
    async with await aio_pika.connect(url) as connection:
        assert connection.transport is not None
        properties = connection.transport.connection.server_properties
        version = properties.get("version", "")
        return version.decode() if isinstance(version, bytes) else str(version)
