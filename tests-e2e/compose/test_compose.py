"""The system in containers: it answers, it scales, it comes back, it is replaced under load, and it stops in order."""

import subprocess
import sys

import pytest

from compose.clients import Clients
from compose.stack import PROCESSES, REPOSITORY, SERVERS, Container, Stack
from system import Shop, wait_for


def run_journeys(stack: Stack) -> str:
    """What `make e2e` says of the system behind the proxy."""
    command = [sys.executable, "-m", "pytest", "-q", "tests-e2e", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--command-url={stack.url}", f"--query-url={stack.url}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout.splitlines()[-1]


def test_the_journeys_pass_through_the_proxy(whole: Stack) -> None:
    assert "passed" in run_journeys(whole)


@pytest.mark.timeout(600)
def test_scaled_it_still_passes(whole: Stack) -> None:
    whole.scale(worker=3, projector=2, query_service=2, command_service=2, relay=2, processes=2)
    assert "passed" in run_journeys(whole)


@pytest.mark.timeout(900)
def test_each_container_killed_in_turn_comes_back_and_nothing_is_lost(whole: Stack) -> None:
    _write_down_queues(whole)
    with Clients(whole.url, patience=120) as clients:
        for container in whole.containers("proxy", *PROCESSES, *SERVERS):
            _kill_and_wait(whole, container)
    print(clients)  # noqa: T201
    assert clients.failures == []
    assert clients.promises > 50
    clients.check()


@pytest.mark.timeout(900)
def test_every_service_is_replaced_under_load_with_no_failed_request_and_no_lost_command(whole: Stack) -> None:
    with Clients(whole.url) as clients:
        for service in PROCESSES:
            _replace(whole, service)
    print(clients)  # noqa: T201
    assert clients.failures == []
    assert clients.promises > 200
    clients.check()


def test_stopped_every_process_ends_with_exit_code_0_and_everything_is_there_when_it_starts_again(
    whole: Stack, at_proxy: Shop
) -> None:
    added = at_proxy.add_product(name="Kept", initial_stock=3)
    try:
        whole.compose("stop")
        codes = {f"{one.service} {one.number}": one.exit_code for one in whole.containers()}
    finally:
        whole.compose("start")
        whole.wait_ready()

    assert {name: code for name, code in codes.items() if code != 0} == {}
    read = at_proxy.read(added.headers["location"], added.headers["consistency-token"])
    assert (read.status_code, read.json()["available"]) == (200, 3)


def _replace(stack: Stack, service: str) -> None:
    """A new one beside the old one; once it is ready, the old one is stopped and removed."""
    old = stack.containers(service)
    stack.scale(**{service.replace("-", "_"): 2 * len(old)})
    for container in old:
        assert container.stop() == 0, container.log()
        container.remove()


def _kill_and_wait(stack: Stack, container: Container) -> None:
    restarts = int(container.look("{{.RestartCount}}"))
    stack.kill(container)
    name = f"{container.service} after SIGKILL"
    wait_for(name, lambda: int(container.look("{{.RestartCount}}")) == restarts + 1 and container.is_running(), 60)
    wait_for(f"{name}, ready", container.is_ready, 120)


def _write_down_queues(stack: Stack) -> None:
    """RabbitMQ keeps its register of quorum queues in memory for minutes; 3.10, killed before it is on disk, comes back
    with queues that answer nothing."""
    sync = "[ok = dets:sync(T) || T <- dets:all()], ok."
    subprocess.run(["docker", "exec", stack.one("rabbitmq").id, "rabbitmqctl", "eval", sync], check=True)
