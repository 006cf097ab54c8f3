"""Every manifest is valid, strictly, for the newest Kubernetes."""

import copy
from typing import Any

import kubernetes_validate
import pytest

from kubernetes_manifests import ROOTS, WHOLE, Manifest, of_kind, render
from kubernetes_schemas import NEWEST, NotValid, check


@pytest.mark.parametrize("root", ROOTS)
def test_every_manifest_is_valid(root: str) -> None:
    manifests = render(root)
    assert manifests
    for manifest in manifests:
        check(manifest)


def test_the_schemas_are_the_newest_that_there_are() -> None:
    assert kubernetes_validate.latest_version() == NEWEST


def changed(root: str, kind: str, path: str, value: Any) -> Manifest:
    """The first manifest of a kind, with one value put in place or added."""
    manifest = copy.deepcopy(of_kind(render(root), kind)[0])
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = manifest
    for step in way:
        place = place[step]
    place[last] = value
    return manifest


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec/template/spec/containers/0/livenesProbe", {}),
        ("Deployment", "spec/replicas", "two"),
        ("NetworkPolicy", "spec/egres", []),
        ("Job", "spec/template", None),
        ("Cluster", "spec/instance", 3),
        ("Cluster", "spec/postgresql/synchronous/method", "some"),
        ("RabbitmqCluster", "spec/affinity/podAntiAfinity", {}),
        ("User", "spec/tags", ["boss"]),
        ("Permission", "spec/permissions/reads", "x"),
        ("ScaledObject", "spec/maxReplicas", 8),
        ("ScaledObject", "spec/triggers/0/metadata/host", "http://name:password@rabbitmq:15672"),
        ("TriggerAuthentication", "spec/secretTargetRef/0/value", "x"),
        ("ServiceMonitor", "spec/endpoints/0/interval", 15),
        ("HTTPRoute", "spec/rules/0/matches/0/path/type", "Prefix"),
        ("HorizontalPodAutoscaler", "spec/metrics/0/resource/target/utilization", 70),
        ("PodDisruptionBudget", "spec/maxUnavailable", [1]),
    ],
)
def test_a_fault_is_found(kind: str, path: str, value: Any) -> None:
    with pytest.raises(NotValid, match=f"^{kind}/"):
        check(changed("overlays/prod", kind, path, value))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(NotValid, match="no such kind"):
        check({"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {"name": "x"}})


@pytest.mark.parametrize("root", WHOLE)
def test_nothing_is_written_twice(root: str) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in render(root)]
    assert len(names) == len(set(names))
