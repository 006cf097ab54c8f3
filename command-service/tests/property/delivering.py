"""Delivering a log to the read model: straight, or as brokers and crashes do it."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from projector_testing.expectation import Written
from projector_testing.shop import GENERATION

from contracts.envelope import RecordedEvent
from projector.batch import gather
from projector.folding import State, fold


class ReadModel:
    """A read model in memory, of which the pure parts of the projector say what to write."""

    def __init__(self, log: Sequence[RecordedEvent]) -> None:
        self.state = State({}, {}, {})
        self._log = log
        self._written = Written()

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        """One batch, in any order. What is missing before it comes from the log first, as in `projector.healing`."""
        changes = fold(gather(events, GENERATION), self.state, GENERATION, now=0.0)
        assert not changes.poisoned
        if changes.gaps:
            self._catch_up(changes.gaps, max(event.position for event in events))
            self.apply(events)
            return
        versions = {**self.state.versions, **changes.versions}
        self.state = State(versions, {**self.state.documents, **changes.documents}, {})
        self._written.write(changes)

    def walk(self) -> None:
        """What was lost for good is in the log."""
        self._catch_up({event.stream_id for event in self._log}, len(self._log))

    def keys(self) -> dict[str, object]:
        return self._written.keys(self.state)

    def sums(self, key: str) -> dict[str, int]:
        """Those of a hash that are not zero."""
        return {name.decode(): int(total) for name, total in self._written.sums.get(key, {}).items() if total}

    def _catch_up(self, streams: Iterable[str], upto: int) -> None:
        wanted, versions = set(streams), self.state.versions
        missing = [
            event
            for event in self._log
            if event.stream_id in wanted and versions.get(event.stream_id, 0) < event.version and event.position <= upto
        ]
        if missing:
            self.apply(missing)


def deliver_straight(log: Sequence[RecordedEvent]) -> ReadModel:
    model = ReadModel(log)
    for event in log:
        model.apply([event])
    return model


def deliver_somehow(log: Sequence[RecordedEvent], chance: Random) -> ReadModel:
    """In any batches and order, several times, with losses that a walk finds."""
    model = ReadModel(log)
    for batch in _batches(log, chance):
        model.apply(batch)
    model.walk()
    return model


def _batches(log: Sequence[RecordedEvent], chance: Random) -> Iterator[list[RecordedEvent]]:
    """Mostly in order, for then most is applied from the batch; anything else happens too."""
    disorder, loss, again = chance.choice((0, 3, 30, 1000)), chance.choice((0, 0.1, 0.4)), chance.choice((0, 0.3, 1))
    arriving = sorted(log, key=lambda event: event.position + chance.uniform(0, disorder))
    while arriving:
        size = chance.randint(1, 12)
        batch, arriving = arriving[:size], arriving[size:]
        batch = [event for event in batch if chance.random() >= loss]
        if chance.random() < again:
            batch += chance.sample(log, min(len(log), 4))
        if chance.random() < again:
            batch += batch[:3]
        chance.shuffle(batch)
        if batch:
            yield batch
