"""Where a document's schemas and messages stand, and what every message says of itself."""

from typing import Any, Final

from chassis.openapi import REFERENCE

Document = dict[str, Any]

CONTENT_TYPE_EVENT: Final = "application/cloudevents+json"


def schema_reference(name: str) -> Document:
    return {"$ref": REFERENCE.format(model=name)}


def message_reference(name: str) -> Document:
    return {"$ref": f"#/components/messages/{name}"}


def one_of(names: list[str]) -> Document:
    return {"oneOf": [schema_reference(name) for name in names]}


def message(name: str, content_type: str, payload: Document, summary: str, **more: Any) -> Document:
    return {"name": name, "contentType": content_type, "summary": summary, "payload": payload, **more}


def first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
