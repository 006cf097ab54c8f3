"""The AsyncAPI document: it is valid, and what goes over the broker is as it says."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from chassis.body import parse_json
from command_service.asyncapi.channels import DEAD_LETTER
from command_service.asyncapi.commands import command_messages, commands_schemas
from command_service.asyncapi.document import build
from command_service.asyncapi.events import event_messages, event_schemas
from command_service.bootstrap import command_reader
from command_service.envelope import CommandEnvelope
from command_service.queue.broker import command_queues
from command_service.queue.documents import CommandReader, NotACommand, message_of
from command_service.settings import CommandSettings
from contracts.envelope import Metadata, RecordedEvent, encode
from contracts.events import EVENT_TYPES
from contracts.topology import DEAD_LETTER_QUEUE, EventQueue

from .support import Shop

HERE = Path(__file__).parent
GOLDEN_EVENTS = HERE.parents[2] / "shared" / "contracts" / "tests" / "golden" / "events"
GOLDEN_COMMANDS = orjson.loads((HERE / "golden_commands.json").read_bytes())
NEWEST = [f"{name}.v{cls.schema_version}" for name, cls in EVENT_TYPES.items()]
SCHEMAS = "@asyncapi/specs@6.11.1"
PARTITIONS = 3
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def reader() -> CommandReader:
    return command_reader()


@pytest.fixture(scope="module")
def document(reader: CommandReader) -> dict[str, Any]:
    return build(reader, PARTITIONS, "1.2.3")


def faults(document: dict[str, Any], message: str, payload: Any) -> list[str]:
    """What the payload of a message breaks. The schemas are AsyncAPI's own, which are draft 7 and a little more."""
    schema = {
        "components": document["components"],
        "allOf": [{"$ref": f"#/components/messages/{message}/payload"}],
    }
    validator = jsonschema_rs.Draft7Validator(schema, validate_formats=True)
    return [error.message for error in validator.iter_errors(payload)]


def golden_event(name: str) -> Any:
    return orjson.loads((GOLDEN_EVENTS / f"{name}.json").read_bytes())


def read(reader: CommandReader, message: dict[str, Any]) -> CommandEnvelope:
    """As a worker reads it."""
    return reader.read_message(parse_json(orjson.dumps(message)), None, NOW)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            # Whatever stands beside a reference is ignored by who reads it.
            assert set(part) == {"$ref"}
            yield part["$ref"]
        for member in part.values():
            yield from references(member)
    elif isinstance(part, list):
        for member in part:
            yield from references(member)


def resolved(document: dict[str, Any], reference: str) -> Any:
    part: Any = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


@pytest.fixture(scope="module")
def asyncapi_schema(request: pytest.FixtureRequest) -> Any:
    """The AsyncAPI Initiative's own schema of such documents, from the package in which it publishes them."""
    folder: Path = request.config.cache.mkdir(SCHEMAS.replace("/", "-"))
    if not any(folder.glob("*.tgz")):
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"npm is not on the PATH, which fetches the official schema ({SCHEMAS}).")
        packing = [npm, "pack", SCHEMAS, "--pack-destination", str(folder)]
        done = subprocess.run(packing, capture_output=True, text=True, timeout=120, cwd=folder)
        if done.returncode != 0:
            pytest.skip(f"The official schema ({SCHEMAS}) can't be fetched: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        schema = package.extractfile("package/schemas/3.0.0-without-$id.json")
        assert schema is not None
        return orjson.loads(schema.read())


def test_the_document_is_valid_asyncapi_3(document: dict[str, Any], asyncapi_schema: Any) -> None:
    validator = jsonschema_rs.Draft7Validator(asyncapi_schema, validate_formats=True)
    assert [(error.instance_path, error.message[:200]) for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({**document, "operations": {"publishEvents": {"action": "publish"}}})


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert len(found) > 50
    for reference in found:
        assert resolved(document, reference), reference


def test_every_operation_is_about_messages_of_its_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        names = [reference["$ref"].removeprefix(f"{channel}/messages/") for reference in operation["messages"]]
        assert names == list(resolved(document, channel)["messages"])


def test_no_name_stands_for_two_things(document: dict[str, Any], reader: CommandReader) -> None:
    schemas = [*event_schemas(), *commands_schemas(reader)]
    assert sorted(schemas) == sorted(document["components"]["schemas"])
    messages = [*event_messages(), *command_messages(reader), DEAD_LETTER]
    assert sorted(messages) == sorted(document["components"]["messages"])
    assert set(EVENT_TYPES) | set(reader.types) < set(messages)


@pytest.mark.parametrize("name", NEWEST)
def test_every_golden_event_is_as_the_document_says(document: dict[str, Any], name: str) -> None:
    event = golden_event(name)
    assert faults(document, event["type"], event) == []
    data = document["components"]["schemas"][event["type"]]
    assert set(event["data"]) == set(data["properties"])
    for attribute in ("streamversion", "data"):
        assert faults(document, event["type"], {k: v for k, v in event.items() if k != attribute})
    assert faults(document, event["type"], {**event, "type": "SomethingElse"})
    for field in data.get("required", ()):
        assert faults(document, event["type"], {**event, "data": {**event["data"], field: {"no": "value"}}})


def test_a_message_of_events_is_a_batch_of_any_of_them(document: dict[str, Any]) -> None:
    events = [golden_event(name) for name in NEWEST]
    assert faults(document, "Events", events) == []
    assert faults(document, "Events", events[0])
    assert faults(document, "Events", [])
    assert faults(document, "Events", [{**events[0], "type": "SomethingElse"}])


def test_events_with_members_of_the_future_are_as_the_document_says(document: dict[str, Any]) -> None:
    event = golden_event("StockAdded.v2")
    newer = {**event, "dataref": "new here", "data": {**event["data"], "supplier": "new here"}}
    assert faults(document, "StockAdded", newer) == []


def test_the_document_has_every_attribute_that_the_producer_writes(document: dict[str, Any]) -> None:
    metadata = Metadata("AddToInventory", "a", "b", "c", "ann", "00-1-2-01", "2026-01-31T23:00:00Z")
    event = RecordedEvent(
        7, "inventory-x", 3, "x", "StockAdded", 2, {}, "2026-01-31T23:00:00Z", "2026-11-21T10:00:00Z", metadata
    )
    documented = document["components"]["schemas"]["StockAddedEvent"]
    written = orjson.loads(encode(event))
    assert set(documented["properties"]) == set(written)
    assert set(documented["required"]) == set(written) - {"actor", "traceparent"}


@pytest.mark.parametrize("command", GOLDEN_COMMANDS, ids=lambda command: command["type"])
def test_every_golden_command_is_as_the_document_says_and_is_read(
    document: dict[str, Any], reader: CommandReader, command: dict[str, Any]
) -> None:
    assert faults(document, command["type"], command) == []
    envelope = read(reader, command)
    assert (envelope.command_id, envelope.type) == (command["id"], command["type"])
    # What Stockroom makes of it, for the queue of the partition, is such a message again.
    passed_on = message_of(envelope)
    assert faults(document, "Commands", [passed_on]) == []
    assert read(reader, passed_on) == envelope


def test_every_command_that_may_come_from_outside_has_a_golden_message(reader: CommandReader) -> None:
    assert sorted(command["type"] for command in GOLDEN_COMMANDS) == sorted(reader.types)


@pytest.mark.parametrize("command", GOLDEN_COMMANDS, ids=lambda command: command["type"])
@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"data": {"colour": "red"}},
        {"id": "with a space"},
        {"submitted_at": "yesterday"},
        {"type": "SomethingElse"},
    ],
    ids=repr,
)
def test_what_the_document_forbids_is_no_command(
    document: dict[str, Any], reader: CommandReader, command: dict[str, Any], change: dict[str, Any]
) -> None:
    data = {**command["data"], **change.get("data", {})}
    changed = {**command, **change, "data": data}
    assert faults(document, command["type"], changed)
    assert faults(document, "Commands", [command, changed])
    with pytest.raises(NotACommand):
        read(reader, changed)


def test_an_array_has_up_to_a_thousand_commands_each_with_its_id(document: dict[str, Any]) -> None:
    command = GOLDEN_COMMANDS[4]
    without_id = {name: member for name, member in command.items() if name != "id"}
    assert faults(document, "Commands", [command] * 1000) == []
    assert faults(document, "Commands", [command] * 1001)
    assert faults(document, "Commands", [])
    assert faults(document, "Commands", [without_id])
    assert faults(document, command["type"], without_id) == []


def test_a_command_that_creates_has_no_expected_version(document: dict[str, Any]) -> None:
    assert faults(document, "AddNewProduct", {**GOLDEN_COMMANDS[0], "expected_version": 1})


def test_the_queues_are_those_that_are_declared(document: dict[str, Any]) -> None:
    channels = document["channels"]
    mine = channels["subscriberQueue"]
    partitions = mine["parameters"]["partition"]["enum"]
    assert partitions == channels["events"]["parameters"]["partition"]["enum"] == ["0", "1", "2"]
    queue = EventQueue("me", 2)
    assert mine["address"].format(subscriber="me", partition=2) == queue.name
    assert mine["bindings"]["amqp"]["x-queue-arguments"] == queue.arguments
    theirs = channels["commandQueue"]
    keys = theirs["parameters"]["key"]["enum"]
    declared = {queue.name: queue for queue in command_queues(PARTITIONS)}
    assert {theirs["address"].format(key=key) for key in keys} == set(declared)
    for queue in declared.values():
        assert theirs["bindings"]["amqp"]["x-queue-arguments"] == queue.arguments
        assert channels["commands"]["bindings"]["amqp"]["exchange"]["name"] == queue.exchange
    for channel in channels.values():
        binding = channel["bindings"]["amqp"]
        if binding["is"] == "queue":
            assert binding["queue"]["name"] == channel["address"]
    assert channels["deadLetters"]["address"] == DEAD_LETTER_QUEUE


async def test_it_is_served_and_tells_nothing_of_where_the_servers_are(shop: Shop, settings: CommandSettings) -> None:
    response = await shop.http.get("/asyncapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    partitions = (await shop.http.get("/system")).json()["partitions"]
    assert len(document["channels"]["events"]["parameters"]["partition"]["enum"]) == partitions
    assert document["servers"]["broker"]["host"] == "{host}:{port}"
    for url in (settings.postgres_url, settings.rabbitmq_url):
        assert url not in response.text
        assert url.rpartition("@")[2].partition("/")[0] not in response.text
    openapi = (await shop.http.get("/openapi.json")).json()
    assert openapi["info"]["version"] == document["info"]["version"]
    assert openapi["paths"]["/asyncapi.json"]["get"]["operationId"] == "GetAsyncApi"
