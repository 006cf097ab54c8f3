"""OpenAPI 3.1 from a service's table of operations."""

import re
from typing import Any

from pydantic import BaseModel, TypeAdapter

from chassis.application import Service
from chassis.http import Operation
from chassis.problems import MEDIA_TYPE, ProblemType

REFERENCE = "#/components/schemas/{model}"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details. `/problems/<slug>` explains each type.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/invalid-input"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "The place in the body, as a JSON pointer."},
                    "parameter": {"type": "string", "description": "The path or query parameter, or the header."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def build(service: Service) -> dict[str, Any]:
    """The OpenAPI document of all the service's operations."""
    schemas: dict[str, Any] = {"Problem": PROBLEM_SCHEMA}
    paths: dict[str, Any] = {}
    for operation in service.operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": service.title, "version": service.version, "description": service.description},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path(operation), *_query(operation, schemas), *_headers(operation)],
        "responses": _responses(operation, schemas),
    }
    if operation.description:
        document["description"] = operation.description
    if operation.body is not None:
        schema = _schema(operation.body, schemas, "validation")
        document["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": schema}},
        }
    return document


def _path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": parameter.schema, "description": parameter.expected}
        for name, parameter in operation.path_parameters.items()
    ]


def _query(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {k: v for k, v in _without_null(member).items() if k not in ("title", "description")},
            "description": member.get("description", ""),
        }
        for name, member in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is absent rather than null: ``anyOf [X, null]`` says X."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if len(options) != 1:
        return schema
    return {**{k: v for k, v in schema.items() if k not in ("anyOf", "default")}, **options[0]}


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": h.name, "in": "header", "required": False, "schema": h.schema, "description": h.description}
        for h in operation.headers
    ]


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, doc in operation.responses.items():
        response: dict[str, Any] = {"description": doc.description}
        if doc.headers:
            response["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in doc.headers.items()
            }
        if doc.model is not None:
            response["content"] = {doc.media_type: {"schema": _schema(doc.model, schemas, "serialization")}}
        responses[str(status)] = response
    by_status: dict[int, list[ProblemType]] = {}
    for kind in operation.problems:
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in kinds),
            "content": {MEDIA_TYPE.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


def _schema(model: Any, schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    if isinstance(model, dict):
        schemas.update(model.get("$defs", {}))
        return {name: member for name, member in model.items() if name != "$defs"}
    schema = TypeAdapter(model).json_schema(ref_template=REFERENCE, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    if (isinstance(model, type) and issubclass(model, BaseModel)) or hasattr(model, "__dataclass_fields__"):
        name = re.sub(r"\W", "_", model.__name__)
        schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}
    return schema
