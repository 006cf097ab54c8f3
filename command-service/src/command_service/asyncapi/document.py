"""The AsyncAPI 3.0 document as a whole."""

from typing import Final

from command_service.asyncapi.channels import DEAD_LETTER, channels, dead_letter_message, operations
from command_service.asyncapi.commands import command_messages, commands_schemas
from command_service.asyncapi.events import event_messages, event_schemas
from command_service.asyncapi.promises import INFO, SERVER
from command_service.asyncapi.schemas import Document
from command_service.queue.documents import CommandReader
from contracts.topology import CONTENT_TYPE_COMMANDS

ASYNCAPI: Final = "3.0.0"


def build(reader: CommandReader, partitions: int, version: str) -> Document:
    """All exchanges, queues and messages of a shop with so many partitions, and of Stockroom in this `version`.

    It names no host: whoever may speak to the broker hears from its operator where it is.
    """
    types = list(reader.types)
    return {
        "asyncapi": ASYNCAPI,
        "info": {"title": "Stockroom messages", "version": version, "description": INFO, "license": {"name": "MIT"}},
        "defaultContentType": CONTENT_TYPE_COMMANDS,
        "servers": {"broker": _server()},
        "channels": channels(partitions, types),
        "operations": operations(types),
        "components": {
            "schemas": {**event_schemas(), **commands_schemas(reader)},
            "messages": {
                **event_messages(),
                **command_messages(reader),
                DEAD_LETTER: dead_letter_message(),
            },
            "securitySchemes": {"account": {"type": "userPassword", "description": "An account of the broker."}},
        },
    }


def _server() -> Document:
    return {
        "host": "{host}:{port}",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "description": SERVER,
        "variables": {
            "host": {"description": "Where the broker is.", "examples": ["rabbitmq"]},
            "port": {"description": "Its AMQP port.", "default": "5672"},
        },
        "security": [{"$ref": "#/components/securitySchemes/account"}],
    }
