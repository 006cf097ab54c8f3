"""Kubernetes' manifests name what the services really have: images, commands, ports, settings and probes."""

import copy
import subprocess
from typing import Any, Final

import pytest
import yaml

from chassis.service import SHUTDOWN_SECONDS
from dockerfile import images
from kubernetes_manifests import KUBERNETES, WHOLE, Manifest, Pod, named, of_kind, pods, processes, render, settings_of
from real_services import (
    COMMANDS,
    NAMES,
    SERVERS_OF,
    SETTINGS,
    Deployed,
    Drift,
    addresses,
    check_command,
    check_settings,
    port_of,
    told_of,
    version,
)
from stockroom_local.servers import postgres as local_postgres
from stockroom_local.servers import rabbitmq as local_rabbitmq
from stockroom_local.servers import redis as local_redis

SHARED: Final = "stockroom-settings"
SERVER_URLS: Final = ("STOCKROOM_POSTGRES_URL", "STOCKROOM_RABBITMQ_URL", "STOCKROOM_REDIS_URL")


def ours(root: str) -> dict[str, Pod]:
    """Our pods, by their names."""
    return {pod.part: pod for pod in pods(render(root)) if pod.container["image"].startswith("stockroom/")}


def deployed(root: str, name: str) -> Deployed:
    return as_deployed(render(root), ours(root)[name])


def as_deployed(manifests: tuple[Manifest, ...], pod: Pod) -> Deployed:
    environment = settings_of(manifests, pod)
    secret = frozenset(key for key in SERVER_URLS if key in environment)
    return Deployed(
        pod.part,
        pod.container["image"],
        tuple(pod.container.get("args", ())),
        {key: value for key, value in environment.items() if key not in secret},
        secret,
    )


def shared(root: str) -> frozenset[str]:
    maps = [one for one in of_kind(render(root), "ConfigMap") if one["metadata"]["name"].startswith(SHARED)]
    return frozenset(maps[0]["data"])


def each(*kinds: str) -> list[Any]:
    """Every pod of ours in everything that is applied."""
    return [
        pytest.param(root, name, id=f"{root}-{name}")
        for root in WHOLE
        for name, pod in ours(root).items()
        if pod.owner["kind"] in kinds
    ]


@pytest.mark.parametrize("root", WHOLE)
def test_every_process_is_there_and_no_other(root: str) -> None:
    assert {name: as_deployed(render(root), pod).command for name, pod in processes(render(root)).items()} == NAMES


@pytest.mark.parametrize(("root", "name"), each("Deployment", "Job"))
def test_the_command_exists(root: str, name: str) -> None:
    check_command(deployed(root, name))


@pytest.mark.parametrize(("root", "name"), each("Deployment", "Job"))
def test_the_image_is_one_that_is_built_of_this_version(root: str, name: str) -> None:
    image, _, tag = deployed(root, name).image.removeprefix("stockroom/").partition(":")

    assert image in images()
    assert tag == version()


@pytest.mark.parametrize(("root", "name"), each("Deployment", "Job"))
def test_the_settings_exist_and_fit(root: str, name: str) -> None:
    check_settings(deployed(root, name), shared(root))


@pytest.mark.parametrize(("root", "name"), each("Deployment", "Job"))
def test_nobody_knows_the_password_of_a_server_that_it_does_not_need(root: str, name: str) -> None:
    assert told_of(deployed(root, name)) == SERVERS_OF[name]


@pytest.mark.parametrize(("root", "name"), each("Deployment"))
def test_the_port_is_the_one_that_is_served(root: str, name: str) -> None:
    found = deployed(root, name)
    settings = check_settings(found, shared(root))
    (port,) = ours(root)[name].container["ports"]

    assert (port["name"], port["containerPort"]) == ("http", port_of(found, settings))
    assert port["containerPort"] == COMMANDS[found.command]
    assert settings.host == "0.0.0.0"


@pytest.mark.parametrize(("root", "name"), each("Deployment"))
def test_its_service_finds_it(root: str, name: str) -> None:
    service = named(render(root), "Service", name)["spec"]
    (port,) = service["ports"]

    assert (port["port"], port["targetPort"]) == (COMMANDS[NAMES[name]], "http")
    assert service["selector"].items() <= ours(root)[name].labels.items()


@pytest.mark.parametrize(("root", "name"), each("Deployment"))
def test_the_probes_ask_for_what_is_served(root: str, name: str) -> None:
    container = ours(root)[name].container
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    assert {kind: probe["path"] for kind, probe in asked.items()} == {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    assert {probe["port"] for probe in asked.values()} == {"http"}
    assert {probe["path"] for probe in asked.values()} <= addresses()


def test_prometheus_asks_for_what_is_served() -> None:
    monitor = named(render("overlays/prod"), "ServiceMonitor", "stockroom")["spec"]
    (endpoint,) = monitor["endpoints"]
    found = {
        service["metadata"]["name"]
        for service in of_kind(render("overlays/prod"), "Service")
        if monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    }

    assert endpoint["path"] in addresses()
    assert found == set(NAMES)


@pytest.mark.parametrize(("root", "name"), each("Deployment"))
def test_there_is_time_to_stop(root: str, name: str) -> None:
    settings = check_settings(deployed(root, name), shared(root))

    assert settings.drain_seconds > 0
    grace = ours(root)[name].spec["terminationGracePeriodSeconds"]
    assert grace >= settings.drain_seconds + SHUTDOWN_SECONDS + 4


@pytest.mark.parametrize("root", WHOLE)
def test_the_feed_and_the_sample_go_to_the_command_service(root: str) -> None:
    (port,) = named(render(root), "Service", "command-service")["spec"]["ports"]
    url = f"http://command-service:{port['port']}"

    assert deployed(root, "projector").environment["STOCKROOM_COMMAND_URL"] == url
    if root == "overlays/dev":
        assert deployed(root, "sample").arguments[-2:] == ("--url", url)


def test_the_sample_is_in_the_image() -> None:
    sample = deployed("overlays/dev", "sample")
    assert images()[sample.program].files[sample.arguments[1]] == "deploy/sample-data/northwind.csv"


def test_the_user_is_the_images_own() -> None:
    for name, pod in ours("overlays/dev").items():
        context = pod.spec["securityContext"]
        image = images()[deployed("overlays/dev", name).program]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == image.user


def test_the_servers_are_those_of_make_run() -> None:
    found = {pod.part: pod.container["image"] for pod in pods(render("base")) if pod.owner["kind"] == "StatefulSet"}
    local = {"postgres": local_postgres, "rabbitmq": local_rabbitmq, "redis": local_redis}

    # RabbitMQ's length of queues is asked for by its management API: the image that has it.
    assert {name: image.removesuffix("-management") for name, image in found.items()} == {
        name: module.REQUIREMENT.image for name, module in local.items()
    }


def test_the_servers_are_set_as_the_services_need_them() -> None:
    base = render("base")
    (postgres,) = [pod.container["args"] for pod in pods(base) if pod.part == "postgres"]
    (config,) = [
        one["data"] for one in of_kind(base, "ConfigMap") if one["metadata"]["name"].startswith("redis-config")
    ]
    values = yaml.safe_load((KUBERNETES / "components/valkey-chart/values.yaml").read_text())
    cluster = named(render("overlays/prod"), "Cluster", "postgres")["spec"]["postgresql"]["parameters"]
    locks = local_postgres._SETTINGS["max_locks_per_transaction"]

    assert f"max_locks_per_transaction={locks}" in postgres
    assert cluster["max_locks_per_transaction"] == locks
    for name, value in local_redis._DURABLE.items():
        assert f"{name} {value}" in config["redis.conf"].splitlines()
        assert f"{name} {value}" in values["valkeyConfig"].splitlines()


def test_new_secrets_lead_to_the_services() -> None:
    made = subprocess.run([KUBERNETES / "new-secrets"], capture_output=True, text=True, check=True).stdout
    secrets = {one["metadata"]["name"]: one["stringData"] for one in yaml.safe_load_all(made)}
    urls = [value for secret in secrets.values() for value in secret.values() if "://" in value]
    ends = {url.rpartition("@")[2].partition("/")[0] for url in urls}

    ports = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in of_kind(render("base"), "Service")
        for port in service["spec"]["ports"]
    }
    assert len(ends) == 3
    assert ends <= ports


def changed(name: str, **container: Any) -> Deployed:
    """A process of the base whose container says something else."""
    pod = copy.deepcopy(ours("base")[name])
    pod.spec["containers"][0].update(container)
    return as_deployed(render("base"), pod)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("worker", ["work"]),
        ("worker", []),
        ("relay", ["relay", "--fast"]),
        ("projector", ["run"]),
        ("migrate", ["migrat"]),
    ],
)
def test_an_unknown_command_is_found(name: str, arguments: list[str]) -> None:
    with pytest.raises(Drift):
        check_command(changed(name, args=arguments))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STOCKROOM_PROJECTOR_PORTS", "1"),
        ("STOCKROOM_LOW_STOCK", "3"),  # another program's
        ("STOCKROOM_BATCH_EVENTS", "many"),
    ],
)
def test_a_wrong_setting_is_found(variable: str, value: str) -> None:
    known = ours("base")["projector"].container["env"]
    with pytest.raises(Drift):
        check_settings(changed("projector", env=[*known, {"name": variable, "value": value}]), shared("base"))


def test_a_missing_server_is_found() -> None:
    with pytest.raises(Drift, match="is not told of redis"):
        check_settings(changed("query-service", env=[]), shared("base"))


def test_a_server_too_many_is_found() -> None:
    known = ours("base")["projector"].container["env"]
    more = changed("projector", env=[*known, {"name": "STOCKROOM_POSTGRES_URL", "value": "postgresql://x"}])

    assert told_of(more) == SERVERS_OF["projector"] | {"postgres"}


def test_every_program_has_its_settings() -> None:
    assert {command[0] for command in COMMANDS} == set(SETTINGS)
