"""What is in the images, and what is not."""

import json
import subprocess
from typing import Any

import pytest

from compose.stack import VERSION, Stack, docker

SERVICES = {
    "command-service": "command_service",
    "query-service": "query_service",
    "projector": "projector",
}
"""By image: the package of its service."""

BUILD_TOOLS = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "git", "curl", "wget")


@pytest.fixture(params=SERVICES)
def image(request: pytest.FixtureRequest, stack: Stack) -> str:
    return f"stockroom/{request.param}:{VERSION}"


def in_image(image: str, script: str) -> str:
    """What a shell script prints that runs in a container as the service does: no rights, nothing to write to."""
    words = ["--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL", "--entrypoint", "sh"]
    return docker("run", *words, image, "-c", script)


def configuration(image: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image)))


def test_it_runs_as_nobody_in_particular_and_needs_to_write_to_nothing_but_tmp(image: str) -> None:
    assert in_image(image, "id -u; id -g").split() == ["10001", "10001"]
    assert configuration(image)["User"] == "10001:10001"
    assert in_image(image, "touch /app/x 2>/dev/null || echo refused; touch /tmp/x && echo fine").split() == [
        "refused",
        "fine",
    ]


def test_no_file_gives_a_process_other_rights_than_it_has(image: str) -> None:
    assert in_image(image, "find / -xdev -type f -perm /6000 2>/dev/null || true") == ""


def test_nothing_that_builds_or_fetches_is_inside(image: str) -> None:
    looked_for = " ".join(BUILD_TOOLS)
    assert in_image(image, f"for tool in {looked_for}; do command -v $tool || true; done") == ""
    modules = (
        "import importlib.util as u; print([m for m in ('pip', 'uv', 'setuptools', 'ensurepip') if u.find_spec(m)])"
    )
    assert in_image(image, f'python -c "{modules}"').strip() == "[]"


@pytest.mark.parametrize("service", SERVICES)
def test_no_other_services_code_is_inside(stack: Stack, service: str) -> None:
    names = [*SERVICES.values(), "stockroom_local", "pytest", "hypothesis"]
    script = f"import importlib.util as u; print(*[m for m in {names} if u.find_spec(m)])"
    found = in_image(f"stockroom/{service}:{VERSION}", f'python -c "{script}"').split()
    assert found == [SERVICES[service]]


def test_everything_is_compiled(image: str) -> None:
    """Nothing can be written when it runs: what is missing would be compiled again at every start."""
    script = """
import json, pathlib, importlib.util as u
folders = [pathlib.Path(f) for f in ('/app/lib', pathlib.Path(json.__file__).parents[1] / 'asyncio')]
files = [f for folder in folders for f in folder.rglob('*.py')]
print(len(files) > 500, [str(f) for f in files if not pathlib.Path(u.cache_from_source(f)).exists()])
"""
    assert in_image(image, f'python -c "{script}"').strip() == "True []"


def test_it_says_what_it_is(image: str) -> None:
    labels = configuration(image)["Labels"]
    assert labels["org.opencontainers.image.version"] == "test"
    for name in ("title", "description", "licenses", "revision", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"], name


def test_its_arguments_are_those_of_the_services_command(image: str) -> None:
    service = image.removeprefix("stockroom/").removesuffix(f":{VERSION}")
    help_text = docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", image, "--help")
    assert f"Usage: {service}" in help_text


def test_a_url_may_come_from_a_file_and_one_that_is_given_goes_first(image: str) -> None:
    service = image.removeprefix("stockroom/").removesuffix(f":{VERSION}")
    # The wrapper runs what /app/bin has under its own name: this one shows what it was given.
    script = (
        "mkdir /tmp/entry /tmp/bin; printf redis://from-file > /tmp/url;"
        f" sed 's|/app/bin|/tmp/bin|' /app/entry/{service} > /tmp/entry/{service};"
        f" printf '#!/bin/sh\\necho $STOCKROOM_REDIS_URL $1\\n' > /tmp/bin/{service}; chmod +x /tmp/bin/{service};"
        f" export STOCKROOM_REDIS_URL_FILE=/tmp/url; sh /tmp/entry/{service} argument;"
        f" STOCKROOM_REDIS_URL=redis://given sh /tmp/entry/{service} argument;"
        f" STOCKROOM_REDIS_URL_FILE=/tmp/none sh /tmp/entry/{service} argument 2>&1 || echo refused"
    )
    words = ["--rm", "--tmpfs", "/tmp:exec", "--read-only", "--network", "none", "--entrypoint", "sh"]
    assert docker("run", *words, image, "-c", script).splitlines() == [
        "redis://from-file argument",
        "redis://given argument",
        "cat: /tmp/none: No such file or directory",
        "refused",
    ]


def test_the_images_are_small(stack: Stack, record_property: Any) -> None:
    for service in SERVICES:
        size = int(docker("image", "inspect", "--format", "{{.Size}}", f"stockroom/{service}:{VERSION}")) / 1e6
        print(f"{service}: {size:.0f} MB")  # noqa: T201
        assert size < 260, f"{service} has {size:.0f} MB"


def test_the_proxys_configuration_is_one_that_nginx_takes(stack: Stack) -> None:
    words = ["--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
    done = subprocess.run(
        ["docker", "run", *words, f"stockroom/proxy:{VERSION}", "-t"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
