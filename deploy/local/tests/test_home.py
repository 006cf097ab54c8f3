"""What a home folder remembers, and what a crashed run may leave in it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stockroom_local import lock
from stockroom_local.errors import HomeInUse, InvalidSetting
from stockroom_local.servers.ports import Ports, is_free
from stockroom_local.servers.requirements import Means
from stockroom_local.servers.trio import Trio
from stockroom_local.settings import Settings

SERVICE_PORTS = ("STOCKROOM_COMMAND_PORT", "STOCKROOM_QUERY_PORT", "STOCKROOM_PROJECTOR_PORT", "STOCKROOM_RELAY_PORT")


def test_a_second_run_with_the_same_home_is_refused_by_name(tmp_path: Path) -> None:
    with (
        lock.hold(tmp_path),
        pytest.raises(HomeInUse, match=rf"process {os.getpid()}.*\n.*STOCKROOM_HOME"),
        lock.hold(tmp_path),
    ):
        pass


def test_a_lock_file_left_by_a_killed_run_means_nothing(tmp_path: Path) -> None:
    script = "import sys, os; from pathlib import Path; from stockroom_local import lock\n"
    script += "with lock.hold(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "lock").exists()
    with lock.hold(tmp_path):
        pass


def test_a_port_is_remembered_and_chosen_again_only_if_taken(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json").claim("postgres")
    assert Ports(tmp_path / "ports.json").claim("postgres") == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        second = Ports(tmp_path / "ports.json").claim("postgres", patience=0)
    assert second != first
    assert Ports(tmp_path / "ports.json").claim("postgres") == second


def test_a_damaged_port_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"postgres": ')
    assert is_free(Ports(tmp_path / "ports.json").claim("postgres"))


def test_a_taken_service_port_is_reported_with_the_setting_that_changes_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = Settings.read({"STOCKROOM_QUERY_PORT": str(port)})
        with pytest.raises(InvalidSetting, match=rf"Port {port} is taken; set STOCKROOM_QUERY_PORT"):
            settings.require_free_ports()


@pytest.mark.parametrize("setting", SERVICE_PORTS)
@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "²"])
def test_a_port_that_is_none_is_refused_by_name(setting: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=setting):
        Settings.read({setting: value})


def test_two_services_on_one_port_are_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"STOCKROOM_QUERY_PORT and STOCKROOM_COMMAND_PORT|STOCKROOM_QUERY_PORT"):
        Settings.read({"STOCKROOM_QUERY_PORT": "8080"})


def test_an_unknown_sample_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidSetting, match="northwind, none"):
        Settings.read({"STOCKROOM_SAMPLE": "southwind"})


def test_given_urls_stand_in_for_private_servers_one_by_one() -> None:
    settings = Settings.read({"STOCKROOM_REDIS_URL": "redis://elsewhere/0", "STOCKROOM_RABBITMQ_URL": ""})
    assert settings.given_urls == {"STOCKROOM_REDIS_URL": "redis://elsewhere/0"}


def test_servers_of_a_run_that_was_killed_end_with_it_and_the_next_run_starts(
    server_means: dict[str, Means], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = _reachable(tmp_path_factory)
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom stockroom_local.servers import Trio\n"
        "from stockroom_local.servers.install import obtain\nfrom stockroom_local.servers.trio import REQUIREMENTS\n"
        "trio = Trio(Path(sys.argv[1]), obtain(REQUIREMENTS, print))\n"
        "trio.start()\nprint(trio.environment())\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(home)], check=False, stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -9
    trio = Trio(home, server_means)
    try:
        trio.start()
        assert killed.stdout.strip() == str(trio.environment())
        assert all(server.answers() for server in trio.all)
    finally:
        trio.discard()


def test_a_pid_file_that_names_somebody_else_is_no_hindrance(
    server_means: dict[str, Means], tmp_path_factory: pytest.TempPathFactory
) -> None:
    trio = Trio(_reachable(tmp_path_factory), server_means)
    try:
        trio.postgres.start()
        where = Path(trio.postgres.engine.where)
        if not where.exists():
            pytest.skip("PostgreSQL is a container here")
        trio.postgres.kill()
        lines = (where / "postmaster.pid").read_text().split("\n")
        (where / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
        trio.postgres.start()
        assert trio.postgres.answers()
    finally:
        trio.discard()


def _reachable(factory: pytest.TempPathFactory) -> Path:
    """A folder that PostgreSQL's user may or may not get to; both must work."""
    return factory.mktemp("home")
