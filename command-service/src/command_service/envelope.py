"""A command on its way to the executor, and what comes back."""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import orjson

from chassis.ids import new_id
from command_service.decider import Command
from contracts.envelope import rfc3339

Status = Literal["succeeded", "rejected", "failed"]
"""How a command can have ended. A failed one is kept, and may still end otherwise when it is redriven."""


@dataclass(frozen=True, slots=True)
class ExpectedVersion:
    """What If-Match asks of the target: to be at one of `versions`, or merely to exist when `versions` is None."""

    versions: frozenset[int] | None

    def accepts(self, version: int, exists: bool) -> bool:
        return exists if self.versions is None else version in self.versions

    def content(self) -> bytes:
        return b"*" if self.versions is None else orjson.dumps(sorted(self.versions))


class CommandEnvelope(NamedTuple):
    """A command with its id, which stays the same over every attempt, and where it comes from."""

    command: Command
    command_id: str
    fingerprint: bytes
    """What the id stands for: see `fingerprint_of`."""
    correlation_id: str
    causation_id: str
    submitted_at: datetime
    expected_version: ExpectedVersion | None = None
    effective_at: datetime | None = None
    """When it happened in the shop's own books, if it is told afterwards; aware."""
    actor: str | None = None
    traceparent: str | None = None
    assigned_id: str | None = None
    """The id that the server chose for what the command creates, if its sender left it open."""

    @property
    def type(self) -> str:
        return self.command.type_name()


class Origin(NamedTuple):
    """Where a command comes from."""

    correlation_id: str
    causation_id: str
    submitted_at: datetime
    traceparent: str | None = None


def envelop(
    command: Command,
    command_id: str,
    origin: Origin,
    *,
    expected_version: ExpectedVersion | None = None,
    effective_at: datetime | None = None,
    assigned_id: str | None = None,
) -> CommandEnvelope:
    """The command as it is executed: with its id, and with one for what it creates (`assigned_id`, or a new one)."""
    assigned_id = assigned_id or new_id()
    identified = command.identified(assigned_id)
    return CommandEnvelope(
        command=identified,
        command_id=command_id,
        fingerprint=fingerprint_of(command, expected_version, effective_at),
        correlation_id=origin.correlation_id,
        causation_id=origin.causation_id,
        submitted_at=origin.submitted_at,
        expected_version=expected_version,
        effective_at=effective_at,
        traceparent=origin.traceparent,
        assigned_id=None if identified is command else assigned_id,
    )


def fingerprint_of(
    command: Command, expected_version: ExpectedVersion | None, effective_at: datetime | None = None
) -> bytes:
    """16 bytes that differ as soon as type, validated data, expected version or effective time differ (BLAKE2b)."""
    expected = expected_version.content() if expected_version is not None else b""
    parts = [command.type_name().encode(), expected, command.content()]
    if effective_at is not None:
        parts.append(rfc3339(effective_at).encode())
    return blake2b(b"\x00".join(parts), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: for good, and the same whenever its id comes again."""

    status: Status
    version: int = 0
    """The target stream's version after the command."""
    token: str = ""
    """The consistency token; empty when rejected."""
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = field(default=None)

    def to_json(self) -> str:
        return orjson.dumps(self).decode()

    @staticmethod
    def from_json(text: str) -> "Outcome":
        return Outcome(**orjson.loads(text))


class KeyReused(Exception):
    """The command's id came before with another content. Nothing is written.

    `index` says which it is of several commands that came together.
    """

    def __init__(self, index: int = 0) -> None:
        super().__init__(index)
        self.index = index


class ExecutionFailed(Exception):
    """A fault of ours that concerns this command alone: nothing of it was written, and its id is not used up."""


class Unavailable(Exception):
    """Postgres can't be reached. Whether the command happened is known once it can; its id tells."""


RETRY_AFTER: Final = 2
"""Seconds after which a client may try again when Postgres couldn't be reached."""
