"""The AsyncAPI document over HTTP."""

from chassis import problems
from chassis.http import Call, Operation, Reply, ResponseDoc, json_reply
from command_service.asyncapi.document import build
from command_service.queue.documents import CommandReader


def operations(reader: CommandReader, partitions: int, version: str) -> list[Operation]:
    reply = json_reply(200, build(reader, partitions, version))

    async def document(_call: Call) -> Reply:
        return reply

    return [
        Operation(
            "GET",
            "/asyncapi.json",
            "GetAsyncApi",
            "The broker's exchanges, queues and messages",
            document,
            "messages",
            "An AsyncAPI 3.0 document: for subscribers of your own, and for commands published straight to the broker.",
            responses={200: ResponseDoc("The document.", {"type": "object"})},
            problems=(problems.METHOD_NOT_ALLOWED, problems.INTERNAL),
        )
    ]
