"""The states that a batch decides on, and the memory of states that spares loading unchanged streams."""

from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from command_service.decider import Decision, S, Stream
from command_service.event_store.store import Loaded
from contracts import events as event_contract
from contracts.events import Event


@dataclass(frozen=True, slots=True)
class Versioned:
    """A stream's state, and the version of its last event; 0 when it has none."""

    version: int
    state: Any


class Placed(NamedTuple):
    """A decided event with its place: `after` is its stream's version and state once it has happened."""

    stream: Stream[Any]
    event: Event
    after: Versioned


class StateMemory:
    """The most recently used states, at most `capacity` of them.

    What it holds was committed. It may be old (another process wrote since), never wrong: the batch loads what lies
    behind it under the stream's lock.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._states: OrderedDict[str, Versioned] = OrderedDict()

    def get(self, stream_id: str) -> Versioned | None:
        found = self._states.get(stream_id)
        if found is not None:
            self._states.move_to_end(stream_id)
        return found

    def put(self, stream_id: str, versioned: Versioned) -> None:
        self._states[stream_id] = versioned
        self._states.move_to_end(stream_id)
        while len(self._states) > self._capacity:
            self._states.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything."""
        self._states.clear()


class NotForeseen(Exception):
    """A decision needs a stream that its batch has not locked: something it follows came to be just now."""


class BatchStates:
    """The states of a batch's streams as its commands change them, one after the other.

    `foreseen` are the ids of the streams that the batch has locked and loaded; `of` raises `NotForeseen` for others.
    """

    def __init__(self, known: dict[str, Versioned], loaded: Loaded, foreseen: Set[str]) -> None:
        self._known = known
        self._loaded = loaded
        self._foreseen = foreseen
        self._states: dict[str, Versioned] = {}
        self._claims = dict(loaded.claims)

    def of(self, stream: Stream[S]) -> S:
        return cast(S, self.versioned(stream).state)

    def owner(self, claim: str) -> str | None:
        return self._claims.get(claim)

    def versioned(self, stream: Stream[Any]) -> Versioned:
        found = self._states.get(stream.id)
        if found is None:
            if stream.id not in self._foreseen:
                raise NotForeseen(stream.id)
            found = self._states[stream.id] = fold(stream, self._known.get(stream.id), self._loaded)
        return found

    def place(self, decision: Decision) -> list[Placed]:
        """Which version each of a decision's events will have, and the state after it. Changes nothing."""
        changed: dict[str, Versioned] = {}
        placed = []
        for stream, event in decision:
            before = changed.get(stream.id) or self.versioned(stream)
            after = Versioned(before.version + 1, stream.aggregate.evolve(before.state, event))
            changed[stream.id] = after
            placed.append(Placed(stream, event, after))
        return placed

    def keep(self, placed: Sequence[Placed]) -> None:
        """From here on the streams are as these events left them."""
        self._states.update((one.stream.id, one.after) for one in placed)

    def claim(self, name: str, owner: str) -> None:
        self._claims[name] = owner

    def all(self) -> dict[str, Versioned]:
        return self._states


def fold(stream: Stream[Any], known: Versioned | None, loaded: Loaded) -> Versioned:
    """A stream's state from what is known of it and what was loaded from behind that."""
    aggregate = stream.aggregate
    current = known or Versioned(0, aggregate.initial)
    snapshot = loaded.snapshots.get(stream.id)
    if snapshot is not None and snapshot.version > current.version:
        current = Versioned(snapshot.version, aggregate.snapshot.validate_json(snapshot.state))
    version, state = current.version, current.state
    for stored in loaded.events.get(stream.id, ()):
        event = event_contract.parse(stored.type, stored.schema_version, orjson.loads(stored.data))
        state, version = aggregate.evolve(state, event), stored.version
    return Versioned(version, state)
