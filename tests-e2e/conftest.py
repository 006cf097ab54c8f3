"""Systems for the journeys (one for all of them) and for faults (one each)."""

from collections.abc import Iterator, Mapping

import pytest

from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.requirements import Means
from system import System


@pytest.fixture(scope="session")
def shop(server_means: Mapping[str, Means], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One running system for all journeys; each adds the products that it needs."""
    trio = Trio(new_home(), server_means)
    trio.start()
    system = System(trio.environment(), tmp_path_factory.mktemp("shop"))
    try:
        system.start()
        yield system
    finally:
        system.stop()
        trio.discard()


@pytest.fixture(scope="session")
def fragile_system(
    server_means: Mapping[str, Means], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, Trio]]:
    trio = Trio(new_home(), server_means)
    trio.start()
    system = System(trio.environment(), tmp_path_factory.mktemp("fragile"))
    try:
        system.start()
        yield system, trio
    finally:
        system.stop()
        trio.discard()


@pytest.fixture
def fragile(fragile_system: tuple[System, Trio]) -> tuple[System, Trio]:
    """A system and its servers, of which a test may kill anything; whatever an earlier test left dead runs again."""
    system, trio = fragile_system
    for server in trio.all:
        if not server.running:
            server.start()
    for process in system.processes:
        if not process.is_running():
            process.start()
    trio.rabbitmq.settle()
    return fragile_system
