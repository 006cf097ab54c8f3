"""The images run the services' programs."""

from dockerfile import images
from real_services import COMMANDS, REPOSITORY, SETTINGS, programs


def test_there_is_one_image_for_each_program_and_it_runs_that() -> None:
    assert {name: image.entrypoint for name, image in images().items()} == {name: (name,) for name in SETTINGS}


def test_each_program_is_installed_by_its_service() -> None:
    for name in images():
        assert name in programs(name)


def test_without_arguments_each_runs_a_process() -> None:
    for name, image in images().items():
        assert (name, *image.default_arguments) in COMMANDS


def test_the_ports_are_the_processes() -> None:
    for name, image in images().items():
        assert image.ports == {port for command, port in COMMANDS.items() if command[0] == name}


def test_what_is_copied_is_there() -> None:
    for image in images().values():
        for source in image.files.values():
            assert (REPOSITORY / source).exists()


def test_they_run_as_nobody_in_particular_and_are_asked_for_their_health() -> None:
    for image in images().values():
        assert image.user == "10001:10001"
        assert "chassis.probe" in image.health_check
