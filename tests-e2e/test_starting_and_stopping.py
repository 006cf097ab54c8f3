"""Processes start in any order, say what they wait for, and stop in order when they are told to."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from stockroom_local.pytest_plugin import OwnServers
from system import Process, System, free_port, program, wait_for

OF_THE_WRITE_SIDE = ("api", "relay", "worker", "processes")


@pytest.fixture
def system_on(tmp_path: Path) -> Iterator[Callable[[Mapping[str, str]], System]]:
    """Makes a system of processes, none of them started, for the servers with these addresses."""
    made: list[System] = []

    def make(servers: Mapping[str, str]) -> System:
        made.append(System(servers, tmp_path))
        return made[-1]

    yield make
    for system in made:
        system.stop()


def readiness(process: Process) -> tuple[int, dict[str, Any]]:
    """The status of a process's readiness, and what it says of each check; 0 while it can't be asked."""
    try:
        answer = httpx.get(f"{process.url}/health/ready", timeout=10)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()["checks"]


def says(process: Process, check: str, what: str) -> bool:
    return readiness(process) == (503, {check: what})


def test_processes_start_before_their_servers_say_what_they_wait_for_and_stop_with_exit_code_0(
    own_servers: OwnServers, system_on: Callable[[Mapping[str, str]], System]
) -> None:
    trio = own_servers()
    system = system_on(trio.environment())
    for server in trio.all:
        server.stop()
    for process in system.processes:
        process.start(ready=False)
    for process in system.processes:
        wait_for(f"{process.name} answers", lambda asked=process: readiness(asked)[0] == 503)  # type: ignore[misc]
        assert httpx.get(f"{process.url}/health/live").status_code == 200
    write_side = [process for process in system.processes if process.name in OF_THE_WRITE_SIDE]
    for process in write_side:
        wait_for(process.name, lambda asked=process: says(asked, "start", "waiting for Postgres"))  # type: ignore[misc]
    refused = system.command.post("/products", json={"name": "Too early", "price": 1})
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    trio.postgres.start()
    for process in write_side:
        wait_for(process.name, lambda asked=process: says(asked, "start", "waiting for the schema"))  # type: ignore[misc]
    subprocess.run([program("command-service"), "migrate"], env=system.environment, check=True)
    trio.rabbitmq.start()
    trio.redis.start()
    for process in system.processes:
        wait_for(f"{process.name} ready", process.is_ready)
    added = system.add_product()
    assert system.read(added.headers["location"], added.headers["consistency-token"]).status_code == 200
    assert {process.name: process.stop() for process in system.processes} == dict.fromkeys(
        (process.name for process in system.processes), 0
    )


def test_a_process_that_waits_is_stopped_with_exit_code_0(
    system_on: Callable[[Mapping[str, str]], System],
) -> None:
    system = system_on({"STOCKROOM_POSTGRES_URL": f"postgresql://stockroom@127.0.0.1:{free_port()}/stockroom"})
    system.api.start(ready=False)
    wait_for("the api waits", lambda: says(system.api, "start", "waiting for Postgres"))
    assert system.api.stop() == 0


def test_a_process_that_is_told_to_stop_drains_and_ends_what_is_under_way(
    postgres_url: str, system_on: Callable[[Mapping[str, str]], System]
) -> None:
    system = system_on({"STOCKROOM_POSTGRES_URL": postgres_url})
    subprocess.run([program("command-service"), "migrate"], env=system.environment, check=True)
    api = system.another("api", drain_seconds="3")
    queued = httpx.post(
        f"{api.url}/commands", json={"type": "AddNewProduct", "id": "waits", "data": {"name": "Waits", "price": 1}}
    )
    assert queued.status_code == 202
    # No worker runs: the command is not executed while this waits.
    under_way = HTTPConnection(api.url.removeprefix("http://"), timeout=30)
    under_way.request("GET", "/commands/waits", headers={"Prefer": "wait=6"})
    with httpx.Client(base_url=api.url, timeout=30) as client, ThreadPoolExecutor() as aside:
        assert client.get("/commands/waits").status_code == 200  # what came before it is under way
        stopped = aside.submit(api.stop)
        wait_for("it is not ready", lambda: says(api, "process", "stopping"))
        served = client.get("/commands/waits")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        answer = under_way.getresponse()
        assert (answer.status, json.load(answer)["status"]) == (200, "accepted")
        assert stopped.result() == 0
    under_way.close()
