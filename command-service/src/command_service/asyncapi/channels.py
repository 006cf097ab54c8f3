"""Channels, which are exchanges and queues, and the operations on them with what Stockroom promises of each."""

from typing import Any, Final

from command_service.asyncapi import events
from command_service.asyncapi.commands import ARRAY
from command_service.asyncapi.promises import COMMANDS, DEAD_LETTERS, EVENTS, EXECUTION, SUBSCRIBING
from command_service.asyncapi.schemas import Document, message, message_reference
from contracts.topology import (
    COMMANDS_EXCHANGE,
    COMMANDS_IN,
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_QUEUE,
    EVENTS_EXCHANGE,
    ORIGIN_HEADER,
    REASON_HEADER,
    quorum_queue_arguments,
    routing_key,
)

BINDING_VERSION: Final = "0.3.0"
"""Of the AMQP bindings of AsyncAPI."""

DEAD_LETTER: Final = "DeadLetter"


def channels(partitions: int, command_types: list[str]) -> dict[str, Document]:
    """Every exchange and every kind of queue of a shop with so many partitions."""
    keys = [routing_key(partition) for partition in range(partitions)]
    partition = {"partition": _parameter("CRC-32 of the event's `partitionkey` modulo the number of partitions.", keys)}
    key = {"key": _parameter(f"`{COMMANDS_IN}`, or the partition of the command's target.", [COMMANDS_IN, *keys])}
    subscriber = {"subscriber": _parameter("Whose queue it is. `read-model-<n>` and the process managers' are taken.")}
    return {
        "events": _channel(
            "{partition}",
            f"The exchange `{EVENTS_EXCHANGE}`: whatever has happened. Each message comes by "
            "`<partition>.<kind>` as well, for each kind of stream that it has events of.",
            _exchange(EVENTS_EXCHANGE, "direct"),
            [events.BATCH],
            partition,
        ),
        "subscriberQueue": _channel(
            f"{EVENTS_EXCHANGE}.{{subscriber}}.{{partition}}",
            f"One subscriber's queue of one partition, bound to `{EVENTS_EXCHANGE}` by the partition; or by "
            "`<partition>.<kind>` alone, for those messages that have events of such streams.",
            _queue(f"{EVENTS_EXCHANGE}.{{subscriber}}.{{partition}}", quorum_queue_arguments()),
            [events.BATCH],
            {**subscriber, **partition},
        ),
        "commands": _channel(
            "{key}",
            f"The exchange `{COMMANDS_EXCHANGE}`: whatever somebody wants to happen.",
            _exchange(COMMANDS_EXCHANGE, "direct"),
            [*command_types, ARRAY],
            key,
        ),
        "commandQueue": _channel(
            f"{COMMANDS_EXCHANGE}.{{key}}",
            f"The workers' queues, bound to `{COMMANDS_EXCHANGE}` by their key. Nobody else consumes from them.",
            _queue(f"{COMMANDS_EXCHANGE}.{{key}}", quorum_queue_arguments()),
            [*command_types, ARRAY],
            key,
        ),
        "deadLetters": _channel(
            DEAD_LETTER_QUEUE,
            f"The queue behind the fanout exchange `{DEAD_LETTER_EXCHANGE}`: what could not be read, kept for people.",
            _queue(DEAD_LETTER_QUEUE, {"x-queue-type": "quorum"}),
            [DEAD_LETTER],
        ),
    }


def _parameter(description: str, values: list[str] | None = None) -> Document:
    return {"description": description, **({"enum": values} if values else {})}


def _channel(
    address: str, description: str, binding: Document, messages: list[str], parameters: Document | None = None
) -> Document:
    channel: Document = {
        "address": address,
        "description": description,
        "servers": [{"$ref": "#/servers/broker"}],
        "messages": {name: message_reference(name) for name in messages},
        "bindings": {"amqp": {**binding, "bindingVersion": BINDING_VERSION}},
    }
    if parameters:
        channel["parameters"] = parameters
    return channel


def _exchange(name: str, kind: str) -> Document:
    return {"is": "routingKey", "exchange": {"name": name, "type": kind, "durable": True, "autoDelete": False}}


def _queue(name: str, arguments: dict[str, Any]) -> Document:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    # The bindings have no place for arguments, and a queue declared with others is refused by the broker.
    return {"is": "queue", "queue": queue, "x-queue-arguments": arguments}


def dead_letter_message() -> Document:
    headers = {
        REASON_HEADER: "Why it was put here. One that the broker put here has `x-death`.",
        ORIGIN_HEADER: "The queue or exchange by which it had come.",
    }
    return message(
        DEAD_LETTER,
        "application/octet-stream",
        {"description": "The body as it came, which may be anything."},
        "A message, or one member of it, that could not be used",
        headers={
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in headers.items()},
        },
    )


def operations(command_types: list[str]) -> dict[str, Document]:
    """What Stockroom does: `send` is what you may subscribe to, `receive` what you may publish."""
    commands = [*command_types, ARRAY]
    persistent = {"deliveryMode": 2, "mandatory": True}
    return {
        "publishEvents": _operation("send", "events", [events.BATCH], "Publish what happened", EVENTS, persistent),
        "subscribe": _operation(
            "receive",
            "subscriberQueue",
            [events.BATCH],
            "Follow what happens, as Stockroom's own subscribers do and yours may",
            SUBSCRIBING,
            {"ack": True},
        ),
        "takeCommands": _operation("receive", "commands", commands, "Take commands from anybody", COMMANDS, persistent),
        "executeCommands": _operation(
            "receive", "commandQueue", commands, "Execute commands", EXECUTION, {"ack": True}
        ),
        "keepDeadLetters": _operation(
            "send", "deadLetters", [DEAD_LETTER], "Keep what can't be read", DEAD_LETTERS, {"deliveryMode": 2}
        ),
    }


def _operation(
    action: str, channel: str, messages: list[str], summary: str, description: str, binding: Document
) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "description": description,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
        "bindings": {"amqp": {**binding, "bindingVersion": BINDING_VERSION}},
    }
