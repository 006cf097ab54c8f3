"""What `kubectl kustomize` makes of deploy/kubernetes, without a cluster."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

Manifest = dict[str, Any]

KUBERNETES: Final = Path(__file__).parents[1] / "kubernetes"
OVERLAYS: Final = ("dev", "prod")
COMPONENTS: Final = tuple(sorted(folder.name for folder in (KUBERNETES / "components").iterdir()))
WHOLE: Final = ("base", *(f"overlays/{name}" for name in OVERLAYS))
"""What an operator applies."""

ROOTS: Final = (*WHOLE, *(f"components/{name}" for name in COMPONENTS))
"""That, and the base with each component alone."""

PART: Final = "stockroom/part"
"""The label that names the process, job or server that a pod is."""


@dataclass(frozen=True)
class Pod:
    """What a manifest says of its pods."""

    owner: Manifest
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def part(self) -> str:
        return self.labels[PART]

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.spec["containers"]
        return dict(container)


@cache
def render(root: str) -> tuple[Manifest, ...]:
    """The manifests of one of `ROOTS`. Raises RuntimeError with what kubectl says where it can't be rendered."""
    if not root.startswith("components/"):
        return build(KUBERNETES / root)
    with tempfile.TemporaryDirectory() as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(KUBERNETES / "base", Path(folder).resolve())],
            "components": [os.path.relpath(KUBERNETES / root, Path(folder).resolve())],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return build(Path(folder))


def build(folder: Path) -> tuple[Manifest, ...]:
    """The manifests of a folder with a kustomization."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:  # warnings are errors: kustomize only warns of fields that are going away
        raise RuntimeError(f"{folder}: {done.stderr}")
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name]
    return found


def pods(manifests: tuple[Manifest, ...]) -> Iterator[Pod]:
    """Those whose pods we write ourselves; what an operator makes of its custom resources is not here."""
    for manifest in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        template = manifest["spec"]["template"]
        yield Pod(manifest, template["metadata"]["labels"], template["spec"])


def processes(manifests: tuple[Manifest, ...]) -> dict[str, Pod]:
    """The processes that run for ever, by their names."""
    return {pod.part: pod for pod in pods(manifests) if pod.owner["kind"] == "Deployment"}


def settings_of(manifests: tuple[Manifest, ...], pod: Pod) -> dict[str, str]:
    """The environment of a pod's container: values, or `secret NAME/KEY` where it refers to one."""
    environment: dict[str, str] = {}
    for source in pod.container.get("envFrom", ()):
        environment |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in pod.container.get("env", ()):
        environment[variable["name"]] = _value(variable)
    return environment


def _value(variable: dict[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = variable["valueFrom"]["secretKeyRef"]
    return f"secret {reference['name']}/{reference['key']}"
