"""Whether a manifest is one: by Kubernetes' own schemas, or by `custom_resources` where it is a custom resource."""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from custom_resources import DEFINITIONS, SPECS, fields
from kubernetes_manifests import Manifest

NEWEST: Final = "1.37.0"
"""The newest version of Kubernetes whose schemas the locked package carries."""

SCHEMAS: Final = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{NEWEST}-local-strict"


class NotValid(Exception):
    """Names the manifest, the place and the fault."""


def check(manifest: Manifest) -> None:
    """Refuses an unknown kind, an unknown field, a missing one, and a value that does not fit: raises NotValid."""
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    try:
        validator = _validator(manifest["apiVersion"], manifest["kind"])
    except FileNotFoundError:
        raise NotValid(f"{name}: {manifest['apiVersion']} has no such kind") from None
    error = best_match(validator.iter_errors(manifest))
    if error is not None:
        raise NotValid(f"{name}: {error.json_path}: {error.message}")
    for path in _nulls(manifest, "$"):  # the schemas allow them everywhere; here they are a forgotten value
        raise NotValid(f"{name}: {path}: there is no value")


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    custom = SPECS.get((api_version, kind))
    return Draft202012Validator(
        _of_custom(custom) if custom is not None else _of_kubernetes(api_version, kind), registry=_definitions()
    )


def _of_kubernetes(api_version: str, kind: str) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
    parts = [kind.lower(), *([group.partition(".")[0]] if group else []), version]
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{'-'.join(parts)}.json").read_text())
    return schema


def _of_custom(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    return fields("apiVersion kind metadata spec", apiVersion={}, kind={}, metadata=metadata, spec=spec)


@cache
def _definitions() -> Registry[Any]:
    definitions = json.loads((SCHEMAS / "_definitions.json").read_text())
    return Registry().with_resource(DEFINITIONS, Resource.from_contents(definitions))


def _nulls(value: Any, path: str) -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _nulls(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nulls(inner, f"{path}[{index}]")
