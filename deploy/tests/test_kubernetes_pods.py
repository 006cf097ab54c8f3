"""Every pod may do as little as it can: Pod Security "restricted", no token, no secret written down."""

import copy
import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from kubernetes_manifests import KUBERNETES, ROOTS, WHOLE, Manifest, Pod, named, of_kind, pods, processes, render

RESTRICTED_VOLUMES: Final = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip

MADE_BY_OPERATORS: Final = {
    "overlays/prod": {
        "postgres-app": {"username", "password", "uri"},  # CloudNativePG, of the cluster postgres
        "stockroom-user-credentials": {"username", "password"},  # messaging topology operator, of each user
        "monitoring-user-credentials": {"username", "password"},
    },
}


def faults(pod: Pod) -> Iterator[str]:
    """Where a pod breaks the Pod Security Standard "restricted", or what we ask for beyond it."""
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    if any(spec.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace with the node"
    for volume in spec.get("volumes", ()):
        if not volume.keys() & RESTRICTED_VOLUMES:
            yield f"volume {volume['name']}"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
        yield "may be root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if context.get("sysctls"):
        yield "sysctls"
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token of the Kubernetes API"
    if spec.get("enableServiceLinks") is not False:
        yield "gets variables of every service"
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        yield from _faults_of(container)


def _faults_of(container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may become more"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write its root file system"
    if context.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile", "procMount"}:
        yield "undoes what the pod says"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "a port of the node"
    resources = container.get("resources", {})
    if any({"cpu", "memory"} - resources.get(kind, {}).keys() for kind in ("requests", "limits")):
        yield "no requests or limits"
    if re.search(r":latest$|^[^:]+$", container["image"]):
        yield "no version"


@pytest.mark.parametrize("root", ROOTS)
def test_every_pod_is_restricted(root: str) -> None:
    assert {pod.part: list(faults(pod)) for pod in pods(render(root)) if list(faults(pod))} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_the_namespace_admits_no_other(root: str) -> None:
    (namespace,) = of_kind(render(root), "Namespace")
    levels = {key: value for key, value in namespace["metadata"]["labels"].items() if "pod-security" in key}

    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {manifest["metadata"].get("namespace") for manifest in render(root) if manifest["kind"] != "Namespace"} == {
        namespace["metadata"]["name"]
    }


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hostNetwork": True}, "shares a namespace with the node"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volume x"),
        ({"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}, "may be root"),
        ({"automountServiceAccountToken": True}, "has a token of the Kubernetes API"),
    ],
)
def test_a_pod_that_may_more_is_found(change: dict[str, Any], fault: str) -> None:
    pod = processes(render("base"))["worker"]
    assert fault in list(faults(Pod(pod.owner, pod.labels, {**pod.spec, **change})))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}, "capabilities"),
        ({"securityContext": {"privileged": True}}, "may become more"),
        ({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}, "no requests or limits"),
        ({"image": "stockroom/projector"}, "no version"),
        ({"image": "redis:latest"}, "no version"),
    ],
)
def test_a_container_that_may_more_is_found(change: dict[str, Any], fault: str) -> None:
    container = {**processes(render("base"))["worker"].container, **change}
    assert fault in list(_faults_of(container))


def test_our_service_account_has_no_token_either() -> None:
    account = named(render("base"), "ServiceAccount", "stockroom")
    assert account["automountServiceAccountToken"] is False
    assert {pod.spec["serviceAccountName"] for pod in pods(render("overlays/dev"))} == {"stockroom"}


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Every key of a secret that something refers to."""
    if isinstance(value, dict):
        if "secretKeyRef" in value:
            yield value["secretKeyRef"]["name"], value["secretKeyRef"]["key"]
        for reference in value.get("secretTargetRef", ()):
            yield reference["name"], reference["key"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def new_secrets(*servers: str) -> dict[str, dict[str, str]]:
    made = subprocess.run([KUBERNETES / "new-secrets", *servers], capture_output=True, text=True, check=True).stdout
    return {secret["metadata"]["name"]: secret["stringData"] for secret in yaml.safe_load_all(made)}


@pytest.mark.parametrize("root", WHOLE)
def test_every_secret_that_is_referred_to_is_made_by_somebody(root: str) -> None:
    by_operators = MADE_BY_OPERATORS.get(root, {})
    by_us = {name: set(keys) for name, keys in new_secrets().items()}
    for name, key in references(list(render(root))):
        assert key in (by_operators.get(name) or by_us[name])


def test_new_secrets_are_new_and_fit_into_a_url() -> None:
    first, second = new_secrets(), new_secrets()
    for name, values in first.items():
        assert re.fullmatch("[0-9a-f]{48}", values["password"])
        assert values["password"] != second[name]["password"]
        assert all(values["password"] in value for value in values.values() if "://" in value)
    assert len({values["password"] for values in first.values()}) == len(first)
    assert set(new_secrets("redis")) == {"redis-auth"}


@pytest.mark.parametrize("root", ROOTS)
def test_no_secret_is_written_down(root: str) -> None:
    assert of_kind(render(root), "Secret") == []
    assert list(written_secrets(render(root))) == []


def written_secrets(manifests: tuple[Manifest, ...]) -> Iterator[str]:
    text = yaml.safe_dump_all(manifests)
    yield from re.findall(r"\w+://[^\s/@:]*:(?!\$\()[^\s/@]+@", text)  # a URL with a password that is no reference
    for pod in pods(manifests):
        for variable in pod.container.get("env", ()):
            if re.search("PASS|SECRET|TOKEN|AUTH", variable["name"]) and "value" in variable:
                yield variable["name"]


def test_a_written_secret_is_found() -> None:
    base = copy.deepcopy(render("base"))
    containers = [pod.spec["containers"][0] for pod in pods(base) if pod.part in ("worker", "redis")]
    containers[0]["env"].append({"name": "X", "value": "amqp://a:b@rabbitmq"})
    containers[1]["env"].append({"name": "PASSWORD", "value": "b"})

    assert list(written_secrets(base)) == ["amqp://a:b@", "PASSWORD"]


def test_kustomize_makes_none() -> None:
    for file in KUBERNETES.rglob("kustomization.yaml"):
        assert "secretGenerator" not in yaml.safe_load(file.read_text())


@pytest.mark.parametrize("root", WHOLE)
def test_what_a_variable_refers_to_stands_above_it(root: str) -> None:
    for pod in pods(render(root)):
        above: set[str] = set()
        for variable in pod.container.get("env", ()):
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= above
            above.add(variable["name"])
        for argument in pod.container.get("args", ()):
            assert set(re.findall(r"\$\((\w+)\)", argument)) <= above


@pytest.mark.parametrize("root", ROOTS)
def test_every_volume_and_config_map_is_there(root: str) -> None:
    maps = {one["metadata"]["name"] for one in of_kind(render(root), "ConfigMap")}
    for pod in pods(render(root)):
        claims = pod.owner["spec"].get("volumeClaimTemplates", ())
        volumes = {volume["name"] for volume in pod.spec["volumes"]} | {claim["metadata"]["name"] for claim in claims}
        assert {mount["name"] for mount in pod.container["volumeMounts"]} == volumes
        named_maps = {volume["configMap"]["name"] for volume in pod.spec["volumes"] if "configMap" in volume}
        named_maps |= {source["configMapRef"]["name"] for source in pod.container.get("envFrom", ())}
        assert named_maps <= maps
