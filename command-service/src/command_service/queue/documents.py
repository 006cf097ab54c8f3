"""Commands as JSON: as clients send them to `POST /commands`, and as they stand on the broker."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from chassis.body import body_faults
from chassis.ids import new_id
from chassis.problems import body_error
from command_service.decider import Command
from command_service.envelope import CommandEnvelope, ExpectedVersion, Origin, envelop
from command_service.fields import Uuid
from contracts.envelope import rfc3339

MAX_COMMANDS: Final = 1000

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
CLOCK_SKEW: Final = timedelta(seconds=60)
"""By how much the clocks of two processes may differ."""

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(value: Any) -> datetime:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if moment >= _EARLIEST:
                return moment
    raise ValueError("Expected a date and time with its offset, from 1970 on, such as 2026-11-21T10:00:00Z (RFC 3339)")


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
CommandId = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[!-~]{1,128}$"),
    Field(description="1–128 visible ASCII characters. The same id with the same content happens once."),
]
_LAST_VERSION: Final = 10**10 - 1
"""As many digits as `If-Match` takes; a version that no stream has yet matches nothing."""


def _versions(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    # Not by a union of types: its faults would have places that are not in the document.
    if value is None or value == "*" or all(type(one) is int and 0 <= one <= _LAST_VERSION for one in listed):
        return value
    raise ValueError('Expected a version such as 3, a list of versions, or "*"')


_VERSION_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": _LAST_VERSION}
Versions = Annotated[
    int | Literal["*"] | list[int] | None,
    PlainValidator(_versions),
    WithJsonSchema(
        {
            "anyOf": [
                _VERSION_SCHEMA,
                {"type": "string", "const": "*"},
                {"type": "array", "items": _VERSION_SCHEMA},
                {"type": "null"},
            ]
        }
    ),
]
_Hidden = Annotated[str, StringConstraints(strict=True, pattern=r"^[!-~]{1,128}$")]


class CommandDocument(BaseModel):
    """A command to be executed later. `data` is what its own route takes as body, and the ids that its path has."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: Annotated[str, Field(strict=True, max_length=100, description="The command's name, such as `ChangePrice`.")]
    data: Annotated[dict[str, Any], Field(description="The command's own fields.")]
    id: CommandId | None = None
    expected_version: Annotated[
        Versions,
        Field(description='As `If-Match`: rejected unless the target is at this version; `"*"`: unless it exists.'),
    ] = None
    effective_at: Annotated[
        Moment | None, Field(description="When it happened in the shop's own books; not in the future.")
    ] = None


class CommandMessage(CommandDocument):
    """A command on the broker. What Stockroom itself adds may be left out by others."""

    submitted_at: Moment | None = None
    correlation_id: _Hidden | None = None
    causation_id: _Hidden | None = None
    traceparent: _Hidden | None = None
    assigned_id: Annotated[
        Uuid | None, Field(description="The id of what the command creates, where its data leaves it open.")
    ] = None


class NotACommand(Exception):
    """The document is no command: each fault with its place."""

    def __init__(self, faults: list[dict[str, str]]) -> None:
        super().__init__(faults[0]["detail"])
        self.faults = faults


class CommandReader:
    """Reads commands of the types that may come from outside: `creating` are those that make their target."""

    def __init__(self, types: Mapping[str, type[Command]], creating: frozenset[str]) -> None:
        self.types = types
        self.creating = creating

    def read(self, document: Any, origin: Origin, place: str = "#") -> CommandEnvelope:
        """The command of a `CommandDocument` that stands at `place`; without an id it gets one.

        Raises:
            NotACommand: every fault, by its place.
        """
        read = _validated(CommandDocument, document, place)
        return self._envelope(read, read.id or new_id(), origin, origin.submitted_at, None, place)

    def read_message(self, document: Any, fallback_id: str | None, now: datetime) -> CommandEnvelope:
        """The command of a `CommandMessage`; `fallback_id` stands for an id that it does not have itself.

        Raises:
            NotACommand: every fault, by its place; one is that there is no id, because a message may come twice.
        """
        read = _validated(CommandMessage, document, "#")
        command_id = read.id or fallback_id
        if command_id is None:
            raise NotACommand([body_error("#/id", "A command on the broker needs an id, because it may come twice.")])
        correlation_id = read.correlation_id or command_id
        submitted_at = min(read.submitted_at or now, now)
        origin = Origin(correlation_id, read.causation_id or correlation_id, submitted_at, read.traceparent)
        # By the clock of whoever reads it, which may be a little behind that of the sender.
        return self._envelope(read, command_id, origin, now + CLOCK_SKEW, read.assigned_id, "#")

    def _envelope(
        self,
        read: CommandDocument,
        command_id: str,
        origin: Origin,
        latest: datetime,
        assigned_id: str | None,
        place: str,
    ) -> CommandEnvelope:
        model = self.types.get(read.type)
        if model is None:
            raise NotACommand([body_error(f"{place}/type", f"No such command. There are {', '.join(self.types)}.")])
        faults = []
        if read.effective_at is not None:
            model = model.told_afterwards()
            if read.effective_at > latest:
                faults.append(body_error(f"{place}/effective_at", "It lies in the future."))
        if read.expected_version is not None and read.type in self.creating:
            faults.append(body_error(f"{place}/expected_version", "It has no meaning where something new is created."))
        try:
            command = model.model_validate(read.data)
        except ValidationError as error:
            raise NotACommand([*faults, *body_faults(error, f"{place}/data")]) from None
        if faults:
            raise NotACommand(faults)
        return envelop(
            command,
            command_id,
            origin,
            expected_version=_expected(read.expected_version),
            effective_at=read.effective_at,
            assigned_id=assigned_id,
        )


def _validated(model: Any, document: Any, place: str) -> Any:
    if not isinstance(document, dict):
        raise NotACommand([body_error(place, "Expected a JSON object with type and data.")])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise NotACommand(body_faults(error, place)) from None


def _expected(versions: int | str | list[int] | None) -> ExpectedVersion | None:
    if versions is None:
        return None
    if isinstance(versions, str):
        return ExpectedVersion(None)
    return ExpectedVersion(frozenset(versions if isinstance(versions, list) else (versions,)))


def message_of(envelope: CommandEnvelope) -> dict[str, Any]:
    """The `CommandMessage` that is read as this very envelope."""
    # Only what was given: for some commands, absent and null differ.
    left_open = {"id"} if envelope.assigned_id is not None else set()
    message: dict[str, Any] = {
        "id": envelope.command_id,
        "type": envelope.type,
        "data": envelope.command.model_dump(mode="json", exclude_unset=True, exclude=left_open),
        "submitted_at": rfc3339(envelope.submitted_at),
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
    }
    if envelope.assigned_id is not None:
        message["assigned_id"] = envelope.assigned_id
    expected = envelope.expected_version
    if expected is not None:
        message["expected_version"] = "*" if expected.versions is None else sorted(expected.versions)
    if envelope.effective_at is not None:
        message["effective_at"] = rfc3339(envelope.effective_at)
    if envelope.traceparent is not None:
        message["traceparent"] = envelope.traceparent
    return message
