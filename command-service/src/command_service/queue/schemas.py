"""JSON schemas of queued commands, one for each type: for OpenAPI and AsyncAPI alike."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from command_service.decider import Command
from command_service.queue.documents import CommandDocument


def command_schemas(
    types: Mapping[str, type[Command]],
    creating: frozenset[str],
    reference: str,
    form: type[BaseModel] = CommandDocument,
) -> dict[str, dict[str, Any]]:
    """Schema name → schema: for each command type X the schema `XCommand`, and whatever these refer to.

    `reference` is where schemas are found (``#/components/schemas/{model}``).
    """
    schemas: dict[str, dict[str, Any]] = {}
    for name, command in types.items():
        data = command.told_afterwards().model_json_schema(ref_template=reference)
        schemas.update(data.pop("$defs", {}))
        schemas[f"{name}Data"] = {**data, "title": f"{name}Data"}
        schema = form.model_json_schema(ref_template=reference)
        schemas.update(schema.pop("$defs", {}))
        properties = schema["properties"]
        properties["type"] = {"const": name, "description": "The command's name."}
        properties["data"] = {"$ref": reference.format(model=f"{name}Data")}
        if name in creating:
            del properties["expected_version"]
        schemas[command_schema_name(name)] = {
            **schema,
            "title": command_schema_name(name),
            "description": command.__doc__ or "",
        }
    return schemas


def command_schema_name(command_type: str) -> str:
    return f"{command_type}Command"
