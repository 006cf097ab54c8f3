"""Systems for the journeys (one for all of them) and for faults (one each).

The journeys also run against a system that runs already, named by its URLs (`make e2e`). What starts, kills or looks
into processes and servers is then left out. `compose/` runs only when it is asked for (`make test-compose`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.requirements import Means
from system import Shop, System

_COMPOSE: Final = Path(__file__).parent / "compose"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("stockroom")
    group.addoption("--command-url", default="", help="Run the journeys against the command API at this address,")
    group.addoption("--query-url", default="", help="and the query API at this one (default: the same).")
    group.addoption("--compose", action="store_true", help="Run the tests of the containers, which need an engine.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "own_system: looks behind the APIs: into processes, settings or the broker")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == _COMPOSE and not config.getoption("--compose") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--command-url"):
        left_out = [item for item in items if not _needs_only_urls(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    if not config.getoption("--command-url"):
        return ""
    return "Left out: what starts, kills or looks into processes and servers of its own. Only HTTP is used here."


def _needs_only_urls(item: pytest.Item) -> bool:
    return "shop" in getattr(item, "fixturenames", ()) and item.get_closest_marker("own_system") is None


@pytest.fixture(scope="session")
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """One running system for all journeys; each adds the products that it needs."""
    command_url = request.config.getoption("--command-url")
    if not command_url:
        yield request.getfixturevalue("own_shop")
        return
    shop = Shop(command_url, request.config.getoption("--query-url") or command_url)
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def own_shop(server_means: Mapping[str, Means], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system of `shop`, where it is ours."""
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
