"""docker-compose.yml names what the services really have, and what Kubernetes' manifests have."""

import re
from dataclasses import replace
from typing import Any

import pytest

from compose_file import as_deployed, jobs, ours, services
from dockerfile import DOCKERFILE, images
from kubernetes_manifests import pods, render
from real_services import COMMANDS, NAMES, REPOSITORY, SETTINGS, Drift, check_command, check_settings, port_of, version
from stockroom_local.servers import postgres as local_postgres
from stockroom_local.servers import redis as local_redis

SERVERS = {"postgres": 5432, "rabbitmq": 5672, "redis": 6379}


def test_every_process_is_there_and_no_other() -> None:
    assert {name: found.command for name, found in ours().items() if name not in jobs()} == NAMES
    assert jobs() == {"migrate", "sample"}


def test_processes_and_jobs_are_those_of_kubernetes() -> None:
    assert set(ours()) | SERVERS.keys() == {pod.part for pod in pods(render("overlays/dev"))}
    for pod in pods(render("overlays/dev")):
        if pod.part in ours():
            assert ours()[pod.part].command == (ours()[pod.part].program, *pod.container.get("args", ()))


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_command_exists(name: str) -> None:
    check_command(ours()[name])


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_image_is_one_that_is_built_of_this_version(name: str) -> None:
    service = services()[name]

    assert service["image"] == f"stockroom/{service['build']['target']}:{version()}"
    assert service["build"]["target"] in images()
    assert REPOSITORY / service["build"]["dockerfile"] == DOCKERFILE


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_settings_exist_and_fit(name: str) -> None:
    known = {key for settings in SETTINGS.values() for key in settings.model_fields}
    for key in services()[name].get("environment", {}):
        assert key.removeprefix("STOCKROOM_").removesuffix("_FILE").lower() in known
    if name not in jobs():
        check_settings(ours()[name])


@pytest.mark.parametrize("name", sorted(NAMES))
def test_it_serves_the_port_that_it_has_everywhere(name: str) -> None:
    found = ours()[name]

    assert port_of(found, check_settings(found)) == COMMANDS[found.command]
    assert COMMANDS[found.command] in images()[found.program].ports
    assert "ports" not in services()[name]  # the proxy alone is published


def test_the_proxy_and_the_feed_find_their_services() -> None:
    nginx = (REPOSITORY / "deploy/proxy/nginx.conf").read_text()
    url = f"http://command-service:{COMMANDS[NAMES['command-service']]}"
    called = set(re.findall(r"proxy_pass http://([\w-]+):(\d+)", nginx))

    assert called == {(name, str(COMMANDS[NAMES[name]])) for name in ("command-service", "query-service")}
    assert ours()["projector"].environment["STOCKROOM_COMMAND_URL"] == url
    assert ours()["sample"].arguments[-1] == url


def test_the_sample_is_in_the_image() -> None:
    sample = ours()["sample"]
    assert images()[sample.program].files[sample.arguments[1]] == "deploy/sample-data/northwind.csv"


def test_the_files_that_settings_name_are_read_by_the_entry_script() -> None:
    script = (REPOSITORY / "deploy/docker/entry.sh").read_text()
    for found in ours().values():
        assert all(name in script for name in found.secrets)
    for image in images().values():
        assert image.files[f"/app/entry/{image.entrypoint[0]}"] == "deploy/docker/entry.sh"


def test_each_server_is_where_the_passwords_lead() -> None:
    made = "".join(services()["secrets"]["command"])
    ends = dict(re.findall(r"@(\w+):(\d+)", made))

    assert {name: int(port) for name, port in ends.items()} == SERVERS
    assert SERVERS.keys() <= services().keys()


def test_the_servers_are_those_of_kubernetes() -> None:
    in_kubernetes = {pod.part: pod.container["image"] for pod in pods(render("base")) if pod.part in SERVERS}
    assert {name: services()[name]["image"] for name in SERVERS} == in_kubernetes


def test_the_servers_are_set_as_the_services_need_them() -> None:
    postgres = " ".join(services()["postgres"]["command"])
    redis = " ".join(services()["redis"]["command"])

    assert f"max_locks_per_transaction={local_postgres._SETTINGS['max_locks_per_transaction']}" in postgres
    for name, value in local_redis._DURABLE.items():
        assert f"--{name} {value}" in redis.replace("''", '""')


def test_the_images_own_health_check_is_used_but_for_jobs() -> None:
    for name in ours():
        assert services()[name].get("healthcheck") == ({"disable": True} if name in jobs() else None)


def changed(name: str, **of_service: Any) -> Any:
    return as_deployed(name, {**services()[name], **of_service})


def test_drift_is_found() -> None:
    with pytest.raises(Drift, match="no command"):
        check_command(changed("relay", command=["relais"]))
    with pytest.raises(Drift, match="no setting STOCKROOM_WALK"):
        check_settings(replace(ours()["worker"], environment={"STOCKROOM_WALK": "1"}))
    with pytest.raises(Drift, match="is not told of redis"):
        check_settings(changed("query-service", volumes=[]))
    with pytest.raises(Drift, match="no setting STOCKROOM_LOG_LEVELS"):
        check_settings(replace(ours()["worker"], environment={"STOCKROOM_LOG_LEVELS": "info"}))
