"""Given events, when a command, then events or a refusal: what every decider's test is written with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from command_service.bootstrap import use_cases
from command_service.database import Shop
from command_service.decider import Command, Rejection, S, Stream, UseCase
from contracts.events import Event

PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
OTHER = "0190a5f0-7c3e-7b1a-9d2e-000000000000"
CASES = use_cases(Shop(partitions=8, currency="EUR"))


@dataclass
class Given:
    """The shop's past: events by their stream's id, and who owns which claim."""

    past: dict[str, Sequence[Event]] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)

    def of(self, stream: Stream[S]) -> S:
        state = stream.aggregate.initial
        for event in self.past.get(stream.id, ()):
            state = stream.aggregate.evolve(state, event)
        return state

    def owner(self, claim: str) -> str | None:
        return self.claims.get(claim)

    def when(self, command: Command) -> list[tuple[str, Event]]:
        """The events that the command leads to, with their streams, each of which the use case has named."""
        case: UseCase[Any] = CASES[type(command)]
        writes = {case.target(command).id, *(stream.id for stream in case.also_writes(command))}
        decided = [(stream.id, event) for stream, event in case.decide(command, self)]
        assert {stream_id for stream_id, _ in decided} <= writes
        return decided

    def refuses(self, command: Command) -> Rejection:
        with pytest.raises(Rejection) as caught:
            self.when(command)
        return caught.value
