"""Missing servers: found, installed, run as containers, or named in one message."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from stockroom_local.errors import MissingServers
from stockroom_local.servers.install import Machine, obtain, services_kept_from_starting
from stockroom_local.servers.requirements import Container, Native, Programs, Requirement
from stockroom_local.servers.trio import REQUIREMENTS


def nowhere(_: Requirement) -> Programs | None:
    return None


def bare(**offers: object) -> Machine:
    machine = {"find": nowhere, "can_install": lambda: False, "install": lambda _: "", "has_docker": lambda: False}
    machine["servers"] = ""
    return Machine(**{**machine, **offers})  # type: ignore[arg-type]


def test_one_message_names_everything_that_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(MissingServers) as caught:
        obtain(REQUIREMENTS, print, machine=bare())
    message = str(caught.value)
    for requirement in REQUIREMENTS:
        assert requirement.title in message
        assert requirement.setting in message
    assert "apt-get install rabbitmq-server redis-server postgresql" in message
    assert "Docker" in message


def test_root_on_debian_installs_only_what_is_missing() -> None:
    installed: list[str] = []

    def find(requirement: Requirement) -> Programs | None:
        present = requirement.title == "Redis" or requirement.package in installed
        return {"program": Path("/somewhere")} if present else None

    def install(packages: Sequence[str]) -> str:
        installed.extend(packages)
        return ""

    means = obtain(REQUIREMENTS, print, machine=bare(find=find, can_install=lambda: True, install=install))
    assert installed == ["rabbitmq-server", "postgresql"]
    assert all(isinstance(each, Native) for each in means.values())


def test_what_apt_could_not_install_runs_as_a_container_or_is_explained() -> None:
    broken = bare(can_install=lambda: True, install=lambda _: "  no route to the mirror")
    with pytest.raises(MissingServers, match="no route to the mirror"):
        obtain(REQUIREMENTS, print, machine=broken)
    with_docker = bare(can_install=lambda: True, install=lambda _: "  no route", has_docker=lambda: True)
    means = obtain(REQUIREMENTS, print, machine=with_docker)
    assert set(means.values()) == {Container(throwaway=False)}


def test_containers_may_be_asked_for_where_the_programs_are_here() -> None:
    def here(_: Requirement) -> Programs:
        return {"program": Path("/somewhere")}

    asked = bare(find=here, servers="containers", has_docker=lambda: True)
    means = obtain(REQUIREMENTS, print, throwaway=True, machine=asked)
    assert means == {each.title: Container(throwaway=True) for each in REQUIREMENTS}
    with pytest.raises(MissingServers, match="no Docker engine answers"):
        obtain(REQUIREMENTS, print, machine=bare(find=here, servers="containers"))


def test_programs_are_found_on_the_path_or_in_the_highest_version_of_the_usual_places(tmp_path: Path) -> None:
    requirement = Requirement("Thing", ("thing",), (), "thing", "thing", "THING_URL")
    for version in ("9", "15"):
        _program(tmp_path / version / "bin" / "thing")
    places = [f"{tmp_path}/*/bin"]
    assert requirement.find(path="", places=[]) is None
    assert requirement.find(path="", places=places) == {"thing": tmp_path / "15" / "bin" / "thing"}
    _program(tmp_path / "path" / "thing")
    assert requirement.find(path=str(tmp_path / "path"), places=places) == {"thing": tmp_path / "path" / "thing"}


@pytest.mark.parametrize("content", [None, "#!/bin/sh\nexit 0\n"])
def test_services_are_kept_from_starting_while_installing_and_the_policy_is_restored(
    tmp_path: Path, content: str | None
) -> None:
    policy = tmp_path / "policy-rc.d"
    if content is not None:
        policy.write_text(content)
    with pytest.raises(RuntimeError), services_kept_from_starting(policy):
        assert os.access(policy, os.X_OK)
        assert "exit 101" in policy.read_text()
        raise RuntimeError("apt was interrupted")
    assert (policy.read_text() if policy.exists() else None) == content
    assert list(tmp_path.iterdir()) == ([policy] if content is not None else [])


def _program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
