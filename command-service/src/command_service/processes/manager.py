"""How a process manager is written: a pure fold over the streams of one kind that also says what to send and when.

It has one state for each stream, folded from the stream's events in their order. Reacting is pure, as deciding is: the
same events give the same commands, however often they are delivered and by however many instances they are handled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from command_service.decider import Command
from contracts.envelope import RecordedEvent
from contracts.events import Event

S = TypeVar("S")


class Timer(Enum):
    """What an event does to the stream's timer, unless it sets it."""

    KEPT = auto()
    CLEARED = auto()


@dataclass(frozen=True, slots=True)
class Reaction(Generic[S]):
    """What follows from an event: the stream's new state, commands to send in this order, and a timer to set.

    Every command must be harmless when it comes twice or late: what it changes is decided by its own stream.
    """

    state: S
    commands: Sequence[Command] = ()
    timer: datetime | Timer = Timer.KEPT


@dataclass(frozen=True, slots=True)
class ProcessManager(Generic[S]):
    """One subscriber of the events. `name` names its queues, its rows, and the ids of its commands, for ever.

    It follows every stream of a kind; `react` hears of the event types in `concerned` alone. `on_due` says what to send
    when a stream's timer is due; a manager without it sets none. States are kept as JSON and outlive this code: their
    form may only change so that older ones can still be read.
    """

    name: str
    follows: str
    concerned: frozenset[type[Event]]
    initial: S
    react: Callable[[S, Any, RecordedEvent], Reaction[S]]
    state: TypeAdapter[S]
    on_due: Callable[[str, S], Command] | None = None
