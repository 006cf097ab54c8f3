"""Processes and servers that a test may stop and start."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stockroom_local.servers import Redis
from stockroom_local.waiting import wait_until

COMMAND = str(Path(sys.executable).with_name("query-service"))


@pytest.fixture
def own_redis(server_means: Any) -> Iterator[Redis]:
    """A Redis that this test may stop, kill and restart."""
    home = Path(tempfile.mkdtemp(prefix="stockroom-test-"))
    home.chmod(0o755)
    server = Redis(home, server_means[Redis.title])
    server.start()
    yield server
    server.discard()
    shutil.rmtree(home, ignore_errors=True)


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    url: str


@pytest.fixture
def process(redis_url: str) -> Iterator[Process]:
    """`query-service`, started as an operator starts it, once it answers."""
    port = free_port()
    environment = {**os.environ, "STOCKROOM_REDIS_URL": redis_url, "STOCKROOM_QUERY_PORT": str(port)}
    popen = subprocess.Popen([COMMAND], env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/health/live").is_success
        return popen.poll() is not None

    try:
        assert wait_until(answers, 60)
        assert popen.poll() is None
        yield Process(popen, url)
    finally:
        popen.terminate()
        popen.wait(30)


@pytest.fixture
def run_command() -> Any:
    """Runs `query-service` to its end with certain environment variables."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([COMMAND], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)

    return run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
