"""Systems for the journeys (one for all of them) and for faults (one each)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stockroom_local.pytest_plugin import OwnServers, new_home
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


MakeSystem = Callable[[], tuple[System, Trio]]


@pytest.fixture
def make_system(own_servers: OwnServers, tmp_path: Path) -> Iterator[MakeSystem]:
    """Gives a system and its servers, all of its own, started; a test may kill any of them."""
    made: list[System] = []

    def make() -> tuple[System, Trio]:
        trio = own_servers()
        system = System(trio.environment(), tmp_path)
        made.append(system)
        system.start()
        return system, trio

    yield make
    for system in made:
        system.stop()
