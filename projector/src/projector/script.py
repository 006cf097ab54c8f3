"""Compare and apply: checks and commands that Redis runs as one, or not at all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import resources
from typing import Any, Final

from redis.asyncio import Redis

from projector.projections.indexing import Argument, Command

MOST_ARGUMENTS: Final = 5_000
"""Of one command within the script: Lua unpacks at most about 8,000 values."""

Guard = tuple[tuple[str, str], ...]
"""(key, value that it must have; any when it is empty)."""

_STEPS: Final = {"MSET": 2, "ZADD": 2, "ZREM": 1}
_LEADS: Final = {"MSET": 1, "ZADD": 2, "ZREM": 2}
_SOURCE: Final = resources.files("projector").joinpath("compare_and_apply.lua").read_text()


class Verdict(IntEnum):
    APPLIED = 1
    CHANGED = 0
    """Something is not as it was read: read again."""
    GUARDED = -1
    """A guard is gone: whoever held it must not write."""


@dataclass(slots=True)
class Request:
    """What must hold, then what is done. Absent values are expected as empty ones."""

    guard: Guard = ()
    server: str = ""
    """The run id of the Redis that was read, where losing what was read matters; any when empty."""
    values: list[tuple[str, Argument]] = field(default_factory=list)
    fields: list[tuple[str, str, bytes]] = field(default_factory=list)
    revisions: list[tuple[str, bytes]] = field(default_factory=list)
    increments: list[tuple[str, str, Command]] = field(default_factory=list)
    """(command, key, its two further arguments for each time that it is called)."""
    commands: list[Command] = field(default_factory=list)

    def arguments(self) -> Command:
        arguments: Command = [self.server]
        for part in (self.guard, self.values, self.fields, self.revisions):
            arguments.append(len(part))
            for check in part:
                arguments += check
        arguments.append(len(self.increments))
        for name, key, pairs in self.increments:
            arguments += (name, key, len(pairs) // 2)
            arguments += pairs
        for command in self.commands:
            for piece in pieces(command):
                arguments.append(len(piece))
                arguments += piece
        return arguments


def pieces(command: Command) -> Iterator[Command]:
    """The command itself, or several of at most `MOST_ARGUMENTS` arguments that do the same."""
    if len(command) <= MOST_ARGUMENTS:
        yield command
        return
    name = str(command[0])
    lead, step = _LEADS[name], _STEPS[name]
    length = (MOST_ARGUMENTS - lead) // step * step
    for start in range(lead, len(command), length):
        yield [*command[:lead], *command[start : start + length]]


def mset(pairs: Iterable[tuple[str, Argument]]) -> Command:
    command: Command = ["MSET"]
    for pair in pairs:
        command += pair
    return command


class CompareAndApply:
    """The script in one Redis; loads itself there again when it is not known (any more)."""

    def __init__(self, redis: Redis) -> None:
        self._script: Any = redis.register_script(_SOURCE)

    async def __call__(self, request: Request) -> Verdict:
        return Verdict(await self._script(args=request.arguments()))
