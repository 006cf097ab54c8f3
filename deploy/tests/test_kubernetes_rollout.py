"""Rolling out, scaling and moving pods: nothing stands still, and nothing is asked for that does not exist."""

import re
from typing import Any, Final

import pytest
import yaml

from contracts.topology import DEFAULT_PARTITIONS, CommandQueue, EventQueue, read_model_subscriber
from kubernetes_manifests import COMPONENTS, KUBERNETES, PART, WHOLE, named, of_kind, pods, processes, render
from real_services import NAMES, version

PROD: Final = "overlays/prod"


@pytest.mark.parametrize("root", WHOLE)
def test_an_old_pod_goes_when_a_new_one_is_ready(root: str) -> None:
    for pod in processes(render(root)).values():
        assert pod.owner["spec"]["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }


@pytest.mark.parametrize("root", WHOLE)
def test_a_version_brings_its_own_jobs(root: str) -> None:
    """A Job can't be changed: under the same name, the next version's could not be applied."""
    for job in of_kind(render(root), "Job"):
        part = job["spec"]["template"]["metadata"]["labels"][PART]
        assert job["metadata"]["name"] == f"{part}-{version().replace('.', '-')}"


@pytest.mark.parametrize("root", WHOLE)
def test_the_migration_does_not_change_with_a_setting(root: str) -> None:
    (migrate,) = [pod for pod in pods(render(root)) if pod.part == "migrate"]

    assert "envFrom" not in migrate.container
    assert [variable["name"] for variable in migrate.container["env"]] == ["STOCKROOM_POSTGRES_URL"]


def test_a_setting_that_changes_rolls_out() -> None:
    for pod in processes(render("base")).values():
        (source,) = pod.container["envFrom"]
        assert source["configMapRef"]["name"] != "stockroom-settings"  # a name that ends in a hash of the content


def test_whoever_is_scaled_by_a_controller_states_no_number() -> None:
    scaled = {
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(render(PROD), "HorizontalPodAutoscaler", "ScaledObject")
    }
    stated = {name for name, pod in processes(render(PROD)).items() if "replicas" in pod.owner["spec"]}

    assert scaled == {"command-service", "query-service", "worker", "projector"}
    assert stated == set(NAMES) - scaled


def test_in_production_there_are_two_of_each() -> None:
    least = {name: pod.owner["spec"].get("replicas", 0) for name, pod in processes(render(PROD)).items()}
    for scaler in of_kind(render(PROD), "HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        least[spec["scaleTargetRef"]["name"]] = spec.get("minReplicas", spec.get("minReplicaCount"))

    assert least == dict.fromkeys(NAMES, 2)


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("worker", CommandQueue("3").name),
        ("worker", CommandQueue("in").name),
        ("projector", EventQueue(read_model_subscriber(12), 7).name),
    ],
)
def test_keda_counts_the_queues_and_stops_at_the_partitions(name: str, queue: str) -> None:
    spec = named(render(PROD), "ScaledObject", name)["spec"]
    (trigger,) = spec["triggers"]
    pattern = trigger["metadata"]["queueName"]

    assert spec["maxReplicaCount"] == DEFAULT_PARTITIONS
    assert matches(pattern, queue)
    assert not matches(pattern, EventQueue("processes-payment-deadline", 1).name)


def matches(pattern: str, queue: str) -> bool:
    return re.search(pattern, queue) is not None


def test_keda_finds_rabbitmq_and_its_secret() -> None:
    for root in ("components/keda", PROD):
        (authentication,) = of_kind(render(root), "TriggerAuthentication")
        for scaled in of_kind(render(root), "ScaledObject"):
            (trigger,) = scaled["spec"]["triggers"]
            namespace = scaled["metadata"]["namespace"]
            assert trigger["metadata"]["host"] == f"http://rabbitmq.{namespace}.svc:15672"
            assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


def test_a_drained_node_takes_one_instance_of_each() -> None:
    budgets = {
        budget["spec"]["selector"]["matchLabels"][PART]: budget["spec"]["maxUnavailable"]
        for budget in of_kind(render(PROD), "PodDisruptionBudget")
    }
    assert budgets == dict.fromkeys(NAMES, 1)


def test_instances_of_a_process_are_spread() -> None:
    for pod in processes(render(PROD)).values():
        for constraint in pod.spec["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"].items() <= pod.labels.items()
            assert constraint["matchLabelKeys"][0] in pod.labels


def test_the_processes_come_to_rabbitmq_as_a_user_who_may_do_what_they_do() -> None:
    permission = named(render(PROD), "Permission", "stockroom")["spec"]
    queues = (CommandQueue("in").name, EventQueue("x", 1).name, "stockroom.dead-letter", "stockroom.events")
    for verb in ("configure", "write", "read"):
        assert all(matches(permission["permissions"][verb], queue) for queue in queues)
        assert not matches(permission["permissions"][verb], "somebody.else")
    for name in ("relay", "worker", "processes", "projector"):
        (url,) = [
            one for one in processes(render(PROD))[name].container["env"] if one["name"] == "STOCKROOM_RABBITMQ_URL"
        ]
        assert url == {
            "name": "STOCKROOM_RABBITMQ_URL",
            "value": "amqp://$(RABBITMQ_USERNAME):$(RABBITMQ_PASSWORD)@rabbitmq:5672/",
        }


@pytest.mark.parametrize("root", WHOLE)
def test_every_selector_selects_its_own(root: str) -> None:
    for pod in pods(render(root)):
        if pod.owner["kind"] != "Job":
            assert pod.owner["spec"]["selector"]["matchLabels"].items() <= pod.labels.items()
            assert pod.owner["metadata"]["name"] == pod.part


def test_where_operators_run_the_servers_the_base_has_none() -> None:
    assert {pod.owner["kind"] for pod in pods(render(PROD))} == {"Deployment", "Job"}
    assert {pod.part for pod in pods(render("base")) if pod.owner["kind"] == "StatefulSet"} == {
        "postgres",
        "rabbitmq",
        "redis",
    }


def test_operators_give_their_pods_the_label_that_the_network_policies_know() -> None:
    values: dict[str, Any] = yaml.safe_load((KUBERNETES / "components/valkey-chart/values.yaml").read_text())

    assert named(render(PROD), "Cluster", "postgres")["spec"]["inheritedMetadata"]["labels"][PART] == "postgres"
    assert named(render(PROD), "RabbitmqCluster", "rabbitmq")["metadata"]["labels"][PART] == "rabbitmq"
    assert values["podLabels"] == {PART: "redis"}


def test_production_has_every_component() -> None:
    kustomization = yaml.safe_load((KUBERNETES / PROD / "kustomization.yaml").read_text())
    assert {path.removeprefix("../../components/") for path in kustomization["components"]} == set(COMPONENTS)
