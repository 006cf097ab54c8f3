"""What waits in the executor: a command to be executed now, or commands to be accepted for later."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from command_service.decider import Stream, UseCase
from command_service.envelope import CommandEnvelope, Outcome
from command_service.event_store.locks import claim_lock, command_lock, stream_lock


class Job(Protocol):
    """What a batch is made of: what it locks, what it loads, and who waits for it."""

    @property
    def command_ids(self) -> Sequence[str]: ...

    @property
    def claims(self) -> Sequence[str]: ...

    def streams(self) -> Sequence[Stream[Any]]:
        """All that it reads or writes."""

    def exclusive_locks(self) -> list[str]:
        """Everything it may write, absent things too: new streams, claims and command ids."""

    def shared_locks(self) -> list[str]: ...

    def ordered_within(self) -> list[str]:
        """Names of what no two jobs may do out of their order."""

    def lock_count(self) -> int: ...

    def fail(self, error: Exception) -> None: ...


@dataclass(slots=True)
class Execution:
    """A command that waits for its outcome."""

    envelope: CommandEnvelope
    use_case: UseCase[Any]
    done: "asyncio.Future[Outcome]"
    target: Stream[Any]
    writes: tuple[Stream[Any], ...]
    reads: tuple[Stream[Any], ...]
    claims: tuple[str, ...]

    @staticmethod
    def of(envelope: CommandEnvelope, use_case: UseCase[Any], done: "asyncio.Future[Outcome]") -> "Execution":
        command = envelope.command
        target = use_case.target(command)
        return Execution(
            envelope,
            use_case,
            done,
            target,
            (target, *use_case.also_writes(command)),
            tuple(use_case.reads(command)),
            tuple(use_case.claims(command)),
        )

    @property
    def command_ids(self) -> Sequence[str]:
        return (self.envelope.command_id,)

    def streams(self) -> Sequence[Stream[Any]]:
        return (*self.writes, *self.reads)

    def foresee(self, target_state: Any) -> None:
        """Adds the streams that it writes because its target's state names them."""
        command, case = self.envelope.command, self.use_case
        if case.follows is not None:
            self.writes = (self.target, *case.also_writes(command), *case.follows(command, target_state))

    def exclusive_locks(self) -> list[str]:
        return [
            command_lock(self.envelope.command_id),
            *(stream_lock(stream.id) for stream in self.writes),
            *(claim_lock(claim) for claim in self.claims),
        ]

    def shared_locks(self) -> list[str]:
        return [stream_lock(stream.id) for stream in self.reads]

    def ordered_within(self) -> list[str]:
        return self.exclusive_locks() + self.shared_locks()

    def lock_count(self) -> int:
        return 1 + len(self.writes) + len(self.reads) + len(self.claims)

    def succeed(self, outcome: Outcome) -> None:
        if not self.done.done():
            self.done.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command to be executed later: `message` says all of it, `lane` is where the outbox keeps it."""

    command_id: str
    fingerprint: bytes
    type: str
    submitted_at: datetime
    lane: int
    message: str


@dataclass(slots=True)
class Acceptance:
    """Commands that come together: all of them are accepted, or none."""

    commands: Sequence[Accepted]
    done: "asyncio.Future[None]"

    @property
    def command_ids(self) -> Sequence[str]:
        return [command.command_id for command in self.commands]

    @property
    def claims(self) -> Sequence[str]:
        return ()

    def streams(self) -> Sequence[Stream[Any]]:
        return ()

    def exclusive_locks(self) -> list[str]:
        return [command_lock(command.command_id) for command in self.commands]

    def shared_locks(self) -> list[str]:
        return []

    def ordered_within(self) -> list[str]:
        """Its lanes too: what is committed first there is executed first."""
        return self.exclusive_locks() + [f"lane:{command.lane}" for command in self.commands]

    def lock_count(self) -> int:
        return len(self.commands)

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
