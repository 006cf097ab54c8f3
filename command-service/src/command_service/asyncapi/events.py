"""The messages of the events exchange: every event type in its envelope, and the batch of them."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from chassis.openapi import REFERENCE
from command_service.asyncapi.schemas import (
    CONTENT_TYPE_EVENT,
    Document,
    first_line,
    message,
    one_of,
    schema_reference,
)
from contracts.envelope import SOURCE
from contracts.events import EVENT_TYPES, Event
from contracts.topology import CONTENT_TYPE_EVENTS, MAX_EVENTS_PER_MESSAGE

BATCH: Final = "Events"


def _text(description: str, **more: Any) -> Document:
    return {"type": "string", "description": description, **more}


def _moment(description: str) -> Document:
    return _text(description, format="date-time")


_ATTRIBUTES: Final[dict[str, Document]] = {
    "specversion": {"const": "1.0", "description": "CloudEvents 1.0."},
    "id": _text("Unique for ever: `<stream>@<version>`."),
    "source": {"const": SOURCE},
    "subject": _text("The stream's id, such as `product-<id>`, `inventory-<id>` or `order-<id>`."),
    "sequence": _text(
        "The position in the log, decimal. It rises along a stream; numbers may be missing.", pattern="^[1-9][0-9]*$"
    ),
    "time": _moment("When it happened in the shop's own books."),
    "recordedtime": _moment("When it was recorded."),
    "datacontenttype": {"const": "application/json"},
    "partitionkey": _text("What the partition is computed of: a product's id, or an order's."),
    "streamversion": {
        "type": "integer",
        "minimum": 1,
        "description": "The number of the event in its stream, from 1, without a gap.",
    },
    "command": _text("The type of the command that made it."),
    "commandid": _text("The id of that command, as `GET /commands/{id}` takes it."),
    "correlationid": _text("What all that follows from one request have in common."),
    "causationid": _text("What brought the command about: a request, or an event."),
    "actor": _text("Who sent the command, where that is known."),
    "traceparent": _text("The W3C trace context that the command came in."),
}
_OPTIONAL: Final = frozenset({"actor", "traceparent"})


def event_schema_name(event_type: str) -> str:
    return f"{event_type}Event"


def event_schemas() -> dict[str, Document]:
    """Schema name → schema: for each event type X its data `X`, the whole event `XEvent`, and `Event` for any."""
    _, data = models_json_schema([(cls, "serialization") for cls in EVENT_TYPES.values()], ref_template=REFERENCE)
    schemas: dict[str, Document] = dict(data["$defs"])
    for name, cls in EVENT_TYPES.items():
        schemas[event_schema_name(name)] = _event(name, cls)
    schemas["Event"] = one_of([event_schema_name(name) for name in EVENT_TYPES])
    return schemas


def _event(event_type: str, cls: type[Event]) -> Document:
    own = {
        "type": {"const": event_type},
        "schemaversion": {
            "const": cls.schema_version,
            "description": "Rises when the data change incompatibly. The log gives older events as they were written.",
        },
        "data": schema_reference(event_type),
    }
    return {
        "title": event_schema_name(event_type),
        "description": "Ignore what you don't know: members may be added without a new schema version.",
        "type": "object",
        "required": [*(name for name in _ATTRIBUTES if name not in _OPTIONAL), *own],
        "properties": {**_ATTRIBUTES, **own},
    }


def event_messages() -> dict[str, Document]:
    """Message name → message: the batch, which is what is published, and what each of its members may be."""
    return {BATCH: _batch(), **{name: _member(name, cls) for name, cls in EVENT_TYPES.items()}}


def _batch() -> Document:
    payload = {
        "type": "array",
        "items": schema_reference("Event"),
        "minItems": 1,
        "maxItems": MAX_EVENTS_PER_MESSAGE,
    }
    return message(
        BATCH,
        CONTENT_TYPE_EVENTS,
        payload,
        f"A CloudEvents JSON batch: 1 to {MAX_EVENTS_PER_MESSAGE} events of one partition, in their order",
        description="It holds what was waiting, and a lone event goes out at once, in a batch of its own. The messages "
        "of the event types are the members of such a batch, and the lines of `GET /events`.",
    )


def _member(name: str, cls: type[Event]) -> Document:
    return message(
        name,
        CONTENT_TYPE_EVENT,
        schema_reference(event_schema_name(name)),
        first_line(cls.__doc__) or name,
        correlationId={"location": "$message.payload#/correlationid"},
    )
