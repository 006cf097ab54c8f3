"""A command on its way to the executor, and what comes back."""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson

from command_service.decider import Command

Status = Literal["succeeded", "rejected"]


@dataclass(frozen=True, slots=True)
class ExpectedVersion:
    """What If-Match asks of the target: to be at one of `versions`, or merely to exist when `versions` is None."""

    versions: frozenset[int] | None

    def accepts(self, version: int, exists: bool) -> bool:
        return exists if self.versions is None else version in self.versions

    def content(self) -> bytes:
        return b"*" if self.versions is None else orjson.dumps(sorted(self.versions))


@dataclass(frozen=True, slots=True)
class CommandEnvelope:
    """A command with its id, which stays the same over every attempt, and where it comes from."""

    command: Command
    command_id: str
    fingerprint: bytes
    """What the id stands for: see `fingerprint_of`."""
    correlation_id: str
    causation_id: str
    submitted_at: datetime
    expected_version: ExpectedVersion | None = None
    actor: str | None = None
    traceparent: str | None = None

    @property
    def type(self) -> str:
        return type(self.command).__name__


def fingerprint_of(command: Command, expected_version: ExpectedVersion | None) -> bytes:
    """16 bytes that differ as soon as type, validated data or expected version differ (BLAKE2b)."""
    expected = expected_version.content() if expected_version is not None else b""
    parts = (type(command).__name__.encode(), expected, command.content())
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
    """The command's id came before with another content. Nothing is written."""


class ExecutionFailed(Exception):
    """A fault of ours that concerns this command alone: nothing of it was written, and its id is not used up."""


class Unavailable(Exception):
    """Postgres can't be reached. Whether the command happened is known once it can; its id tells."""


RETRY_AFTER: Final = 2
"""Seconds after which a client may try again when Postgres couldn't be reached."""
