"""How a use case is written: streams, their deciders' evolve, and the pure decision over their states.

A *stream* is the history of one thing and has a state, folded by `evolve` from `initial`. A *use case* names the
streams that its command reads and writes, and decides: it returns events or raises a `Rejection`. Deciding is pure: no
clock, no random, no I/O, so that many commands can share one transaction and any of them can be decided again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from chassis.problems import ProblemType
from contracts.events import Event
from contracts.streams import partition_key_of

S = TypeVar("S")
C = TypeVar("C", bound="Command")


class Command(BaseModel):
    """What somebody wants to happen. Immutable, named in the imperative; fields that are not its own are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def content(self) -> bytes:
        """The validated data, the same bytes for the same content: what an Idempotency-Key stands for."""
        return self.model_dump_json().encode()

    def identified(self, new_id: str) -> "Command":
        """The command with `new_id` where its sender left the choice of an id to the server."""
        return self

    @classmethod
    def type_name(cls) -> str:
        """What the command is called in receipts, metadata and messages."""
        return cls.__name__

    @classmethod
    def told_afterwards(cls) -> "type[Command]":
        """The form of the command when it comes with an `effective_at`: a shop's past may say more than its present."""
        return cls


class Rejection(Exception):
    """A rule of the shop says no. Nothing is written but the receipt that says so."""

    kind: ClassVar[ProblemType]

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """What all streams of one kind have in common.

    `snapshot_version` rises whenever the state's form changes: older snapshots are then ignored and folded anew.
    """

    kind: str
    initial: S
    evolve: Callable[[S, Any], S]
    exists: Callable[[S], bool]
    snapshot: TypeAdapter[S]
    snapshot_version: int = 1


@dataclass(frozen=True, slots=True)
class Stream(Generic[S]):
    """One stream: its id and the aggregate that folds it."""

    id: str
    aggregate: Aggregate[S]

    @property
    def partition_key(self) -> str:
        return partition_key_of(self.id)


class States(Protocol):
    """What a decision may look at: the states of the streams that its use case named, and who owns its claims."""

    def of(self, stream: Stream[S]) -> S: ...

    def owner(self, claim: str) -> str | None: ...


Decision = Sequence[tuple[Stream[Any], Event]]


def _none(_command: Any) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, slots=True)
class UseCase(Generic[C]):
    """One command's rule, with all that the executor must know to run it.

    `target` is the stream that the command's URL names: its version is the ETag, and If-Match is about it.
    `follows` are streams written too that only the target's state names, such as the stock of an order's products; once
    the target exists they must never change, because they are looked up before anything is locked.
    `claims` are names that must be unique in the shop (``sku:ABC``); a success makes them the target's.
    """

    command: type[C]
    target: Callable[[C], Stream[Any]]
    decide: Callable[[C, States], Decision]
    also_writes: Callable[[C], Sequence[Stream[Any]]] = _none
    reads: Callable[[C], Sequence[Stream[Any]]] = _none
    follows: Callable[[C, Any], Sequence[Stream[Any]]] | None = None
    claims: Callable[[C], Sequence[str]] = _none
    result: Callable[[C], dict[str, Any] | None] = lambda _command: None


def on_stream(
    command: type[C], target: Callable[[C], Stream[S]], decide: Callable[[C, S], Iterable[Event]]
) -> UseCase[C]:
    """A use case whose decision needs nothing but the state of its own stream."""

    def decide_on_target(issued: C, states: States) -> Decision:
        stream = target(issued)
        return [(stream, event) for event in decide(issued, states.of(stream))]

    return UseCase(command, target, decide_on_target)
