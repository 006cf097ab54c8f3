"""One stack for all tests of the containers."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from compose.stack import JOBS, PROCESSES, SERVERS, Stack, docker
from system import Shop, wait_for


@pytest.fixture(scope="session")
def engine() -> str:
    """The version of the Docker engine that answers."""
    return docker("version", "--format", "{{.Server.Version}}").strip()


@pytest.fixture(scope="session")
def stack(engine: str, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """The system, brought up as the README says, with every job done; gone afterwards."""
    say = _teller(pytestconfig)
    stack = Stack()
    say(f"\nDocker {engine}, {' '.join(stack.command)}, project {stack.project}, {stack.url}")
    try:
        started = time.monotonic()
        stack.compose("build", seconds=1800)
        say(f"Images built in {time.monotonic() - started:.0f} s")
        started = time.monotonic()
        stack.compose("up", "--detach")
        _wait_for_the_sample_shop(stack)
        say(f"From `up` to the sample shop: {time.monotonic() - started:.0f} s")
        stack.wait_ready()
        yield stack
    except BaseException:
        say(stack.logs())
        raise
    finally:
        stack.discard()


@pytest.fixture(scope="session")
def at_proxy(stack: Stack) -> Iterator[Shop]:
    """Both APIs at the proxy's address."""
    shop = Shop(stack.url, stack.url)
    yield shop
    shop.close()


@pytest.fixture
def whole(stack: Stack) -> Stack:
    """The stack with one ready container of each, whatever an earlier test left behind."""
    one_of_each = [word for name in PROCESSES for word in ("--scale", f"{name}=1")]
    stack.compose("up", "--detach", "--no-deps", *one_of_each, *SERVERS, *PROCESSES, "proxy")
    stack.wait_ready()
    return stack


def _wait_for_the_sample_shop(stack: Stack) -> None:
    shop = Shop(stack.url, stack.url)

    def job_ended() -> bool:
        return all(not job.is_running() and job.exit_code == 0 for job in stack.containers(*JOBS))

    def answers() -> bool:
        found = shop.query.get("/products", params={"search": "sony wh"})
        return found.status_code == 200 and len(found.json()["items"]) == 1

    wait_for("every job done", job_ended, 180)
    wait_for("the sample shop", answers, 60)
    shop.close()


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Writes to the terminal at once, although a fixture's output is kept back otherwise."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            print(line, flush=True)  # noqa: T201

    return say
