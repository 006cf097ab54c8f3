"""Folds a batch into what was read of the read model. Pure: the same batch and state give the same changes.

The gate: an event is applied if it is the next version of its stream, ignored if it is older; a newer one is a gap,
and then nothing of the batch may be applied before the gap is healed. A key whose event can't be applied is parked at
that event, and so are its later events; other keys don't notice. A discarded event passes the gate without effect.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final

from contracts import documents
from contracts.events import Event
from contracts.keys import Generation
from projector import parking
from projector.batch import Batch, Fact
from projector.parking import Parked, Redrive
from projector.projections import journal
from projector.projections.indexing import IndexChange
from projector.projections.journal import Journal
from projector.projections.tallies import Tally
from projector.projections.views import View

MOST_INCREMENTS: Final = 50_000
"""Redis adds them up in about a tenth of a second, and serves nobody else meanwhile. One order has up to 9,900."""


@dataclass(frozen=True, slots=True)
class State:
    """What was read for a batch: stream versions, documents and parked records (absent ones are left out)."""

    versions: dict[str, int]
    documents: dict[str, bytes]
    parked: dict[str, bytes]


@dataclass(slots=True)
class Changes:
    """What a batch does to the read model, or the gaps that must be healed first."""

    versions: dict[str, int] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    excerpts: dict[str, bytes] = field(default_factory=dict)
    """Documents that follow from others alone, and so were not read before."""
    index: IndexChange = field(default_factory=IndexChange)
    journal: Journal = field(default_factory=Journal)
    tally: Tally = field(default_factory=Tally)
    parked: dict[str, Parked | None] = field(default_factory=dict)
    """New records of parked keys; None unparks."""
    gaps: dict[str, int] = field(default_factory=dict)
    """Stream → the version that came although the one before it is missing."""
    is_too_much: bool = False
    """The batch must be applied in smaller ones: the fold was given up."""
    applied: int = 0
    ignored: int = 0
    left_out: int = 0
    poisoned: list[tuple[str, str]] = field(default_factory=list)
    """(event id, reason) of each event that parked its key now."""


@dataclass(slots=True)
class _Draft:
    """What one key's facts lead to while they are folded."""

    versions: dict[str, int] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    histories: dict[str, list[bytes]] = field(default_factory=dict)
    alerts: list[bytes] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    applied: int = 0
    ignored: int = 0


class _Poisoned(Exception):
    """The fact at `index` can't be applied; those before it can."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


def fold(
    batch: Batch,
    state: State,
    generation: Generation,
    *,
    now: float,
    redrive: Redrive | None = None,
    unhealable: frozenset[str] = frozenset(),
) -> Changes:
    """What `batch` changes in `state`. `unhealable` streams have gaps that the log can't fill: these are poison."""
    changes = Changes()
    for key, facts in batch.facts.items():
        if changes.tally.size >= MOST_INCREMENTS:
            changes.is_too_much = True
            return changes
        record = state.parked.get(key)
        redriven = redrive is not None and redrive.partition_key == key
        if record is not None and not redriven:
            _leave_out(changes, key, facts, state, parking.decode(record))
            continue
        try:
            _fold_key(changes, _Folding(key, facts, state, batch.documents, generation, unhealable, redriven))
        except _Poisoned as poison:
            # The good beginning was folded in; from the poison on, everything waits.
            rest = facts[poison.index :]
            changes.left_out += len(rest)
            changes.poisoned.append((rest[0].recorded.id, poison.reason))
            changes.parked[key] = _park(record, poison.reason, rest, now)
        else:
            if redriven and redrive is not None and redrive.last:
                changes.parked[key] = None
    if redrive is not None and redrive.last and redrive.partition_key not in batch.facts:
        changes.parked[redrive.partition_key] = None
    return changes


def _leave_out(changes: Changes, key: str, facts: list[Fact], state: State, record: Parked) -> None:
    new = [f.recorded for f in facts if f.recorded.version > state.versions.get(f.recorded.stream_id, 0)]
    changes.ignored += len(facts) - len(new)
    if new:
        changes.left_out += len(new)
        changes.parked[key] = record.remember([r.stream_id for r in new])


def _park(record: bytes | None, reason: str, rest: list[Fact], now: float) -> Parked:
    event, streams = rest[0].recorded.id, [fact.recorded.stream_id for fact in rest]
    if record is None:
        return parking.park(event, reason, streams, now)
    return parking.decode(record).failed_again(event, reason, now).remember(streams)


@dataclass(slots=True)
class _Folding:
    """One key's facts, and what they are folded into."""

    partition_key: str
    facts: list[Fact]
    state: State
    views: dict[str, View[Any]]
    generation: Generation
    unhealable: frozenset[str]
    redriven: bool
    """The facts come from the log and leave nothing out: a gap is one of the log itself."""

    def drafted(self, count: int) -> tuple[_Draft, _Poisoned | None]:
        """What the first `count` facts lead to, up to the one that can't be applied."""
        draft = _Draft()
        for index, fact in enumerate(self.facts[:count]):
            stream, version = fact.recorded.stream_id, fact.recorded.version
            have = draft.versions.get(stream)
            if have is None:
                have = self.state.versions.get(stream, 0)
            if version <= have:
                draft.ignored += 1
                continue
            if version > have + 1 and not (self.redriven or stream in self.unhealable):
                draft.gaps.setdefault(stream, version)
                continue
            try:
                if version > have + 1:
                    raise _Poisoned(index, f"the log has no version {have + 1} of {stream}")
                if fact.event is not None:
                    _project(draft, fact, fact.event, self.state, self.generation)
                elif not fact.discarded:
                    raise _Poisoned(index, fact.unreadable)
            except _Poisoned as poison:
                return draft, poison
            except MemoryError:
                raise
            except Exception as error:
                return draft, _Poisoned(index, f"{type(error).__name__} in a projection of {fact.recorded.type}")
            draft.versions[stream] = version
            draft.applied += 1
        return draft, None

    def finished(self, draft: _Draft) -> "_Finished":
        return _finish(draft, self.partition_key, self.views, self.generation)

    def is_unstorable(self, count: int) -> bool:
        """Whether what the first `count` facts lead to can't be stored or indexed."""
        try:
            self.finished(self.drafted(count)[0])
        except MemoryError:
            raise
        except Exception:
            return True
        return False


def _fold_key(changes: Changes, folding: _Folding) -> None:
    draft, poison = folding.drafted(len(folding.facts))
    try:
        finished = folding.finished(draft)
    except MemoryError:
        raise
    except Exception as error:
        # The fact at fault is the first with which it can't be stored.
        index = bisect_left(range(len(folding.facts)), True, key=lambda index: folding.is_unstorable(index + 1))
        draft, _ = folding.drafted(index)
        finished = folding.finished(draft)
        poison = _Poisoned(index, f"{type(error).__name__} while storing or indexing a document")
    changes.gaps.update(draft.gaps)
    changes.versions.update(draft.versions)
    changes.documents.update(finished.documents)
    changes.excerpts.update(finished.excerpts)
    changes.index.merge(finished.index)
    for history, members in draft.histories.items():
        changes.journal.histories.setdefault(history, []).extend(members)
    changes.journal.alerts += draft.alerts
    for tally in draft.tallies:
        changes.tally.merge(tally)
    changes.applied += draft.applied
    changes.ignored += draft.ignored
    if poison is not None:
        raise poison


def _project(draft: _Draft, fact: Fact, event: Event, state: State, generation: Generation) -> None:
    """Folds one fact into all that it changes, or into nothing."""
    recorded = fact.recorded
    results = []
    for view, key in fact.targets:
        document = draft.after.get(key)
        if document is None:
            stored = state.documents.get(key)
            if stored is not None:
                document = draft.before.get(key)
                if document is None:
                    document = draft.before[key] = documents.load(stored, view.document)
        document = view.project(document, event, recorded)
        tally = view.tally(generation, document, event, recorded) if view.tally is not None else None
        results.append((key, document, tally))
    history, alert = journal.history_member(recorded), journal.alert_member(event, recorded)
    # Nothing raises from here on.
    for key, document, tally in results:
        draft.after[key] = document
        if tally is not None:
            draft.tallies.append(tally)
    draft.histories.setdefault(generation.history_of(recorded.stream_id), []).append(history)
    if alert is not None:
        draft.alerts.append(alert)


@dataclass(slots=True)
class _Finished:
    documents: dict[str, bytes] = field(default_factory=dict)
    excerpts: dict[str, bytes] = field(default_factory=dict)
    index: IndexChange = field(default_factory=IndexChange)


def _finish(draft: _Draft, partition_key: str, views: dict[str, View[Any]], generation: Generation) -> _Finished:
    """The bytes of every document that changed, and what that does to its excerpts and the indexes."""
    finished = _Finished()
    for key, after in draft.after.items():
        view, before = views[key], draft.before.get(key)
        if after == before:
            continue
        hidden = view.is_hidden(after)
        finished.documents[key] = documents.store(after, hidden=hidden)
        shown_before = None if before is None or view.is_hidden(before) else before
        shown = None if hidden else after
        finished.index.move(view.facets, generation, shown_before, shown)
        for excerpt in view.excerpts:
            made = excerpt.make(after)
            if shown_before is None or shown is None or made != excerpt.make(shown_before):
                finished.excerpts[excerpt.key(generation, partition_key)] = documents.store(made, hidden=hidden)
    return finished
