"""The messages of the commands exchange: every command that may come from outside, and an array of them."""

from typing import Final

from chassis.openapi import REFERENCE
from command_service.asyncapi.schemas import Document, first_line, message, one_of, schema_reference
from command_service.queue.documents import MAX_COMMANDS, CommandMessage, CommandReader
from command_service.queue.schemas import command_schema_name, command_schemas
from contracts.topology import CONTENT_TYPE_COMMANDS

ARRAY: Final = "Commands"


def commands_schemas(reader: CommandReader) -> dict[str, Document]:
    """Schema name → schema: for each command type X `XCommand`, `Command` for any, and those that stand in arrays."""
    schemas = command_schemas(reader.types, reader.creating, REFERENCE, form=CommandMessage)
    schemas["Command"] = one_of([command_schema_name(name) for name in reader.types])
    schemas["CommandWithId"] = {
        "allOf": [
            schema_reference("Command"),
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        ]
    }
    return schemas


def command_messages(reader: CommandReader) -> dict[str, Document]:
    """Message name → message: each command alone, and the array."""
    alone = {
        name: message(
            name,
            CONTENT_TYPE_COMMANDS,
            schema_reference(command_schema_name(name)),
            first_line(command.__doc__) or name,
            description="It needs an id, because a message may come twice: `id` in the body or, for want of that, the "
            "message's AMQP property `message_id`.",
            correlationId={"location": "$message.payload#/correlation_id"},
        )
        for name, command in reader.types.items()
    }
    return {**alone, ARRAY: _array()}


def _array() -> Document:
    payload = {
        "type": "array",
        "items": schema_reference("CommandWithId"),
        "minItems": 1,
        "maxItems": MAX_COMMANDS,
    }
    return message(
        ARRAY,
        CONTENT_TYPE_COMMANDS,
        payload,
        f"1 to {MAX_COMMANDS:,} commands, executed in this order where they are about one target",
        description="Each has its `id` in the body. One that can't be used holds up none of the others.",
    )
