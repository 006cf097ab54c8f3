"""Folds a batch into what was read of the read model. Pure: the same batch and state give the same changes.

The gate: an event is applied if it is the next version of its stream, ignored if it is older; a newer one is a gap,
and then nothing of the batch may be applied before the gap is healed. A key whose event can't be applied is parked at
that event, and so are its later events; other keys don't notice.
"""

from dataclasses import dataclass, field
from typing import Any

from contracts import documents
from contracts.keys import Generation
from projector import parking
from projector.batch import Batch, Fact
from projector.parking import Parked, Redrive
from projector.projections.indexing import IndexChange
from projector.projections.views import View


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
    index: IndexChange = field(default_factory=IndexChange)
    parked: dict[str, Parked | None] = field(default_factory=dict)
    """New records of parked keys; None unparks."""
    gaps: dict[str, int] = field(default_factory=dict)
    """Stream → the version that came although the one before it is missing."""
    applied: int = 0
    ignored: int = 0
    left_out: int = 0
    poisoned: list[tuple[str, str]] = field(default_factory=list)
    """(event id, reason) of each event that parked its key now."""


@dataclass(slots=True)
class _Draft:
    """The documents and versions of one key while its facts are folded."""

    versions: dict[str, int] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


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
        record = state.parked.get(key)
        redriven = redrive is not None and redrive.partition_key == key
        if record is not None and not redriven:
            _leave_out(changes, key, facts, state, parking.decode(record))
            continue
        try:
            _fold_key(changes, facts, state, batch.documents, generation, unhealable)
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
        changes.parked[key] = record.remember((r.stream_id for r in new), new[-1].position)


def _park(record: bytes | None, reason: str, rest: list[Fact], now: float) -> Parked:
    streams, position = [fact.recorded.stream_id for fact in rest], rest[-1].recorded.position
    if record is None:
        return parking.park(reason, streams, position, now)
    return parking.decode(record).failed_again(reason, now).remember(streams, position)


def _fold_key(
    changes: Changes,
    facts: list[Fact],
    state: State,
    views: dict[str, View[Any]],
    generation: Generation,
    unhealable: frozenset[str],
) -> None:
    draft = _Draft()
    poison: _Poisoned | None = None
    applied = ignored = 0
    for index, fact in enumerate(facts):
        stream, version = fact.recorded.stream_id, fact.recorded.version
        have = draft.versions.get(stream)
        if have is None:
            have = state.versions.get(stream, 0)
        if version <= have:
            ignored += 1
            continue
        if version > have + 1 and stream not in unhealable:
            changes.gaps.setdefault(stream, version)
            continue
        try:
            if version > have + 1:
                raise _Poisoned(index, f"the log has no version {have + 1} of {stream}")
            if fact.event is None:
                raise _Poisoned(index, fact.unreadable)
            _project(draft, fact, state)
        except _Poisoned as error:
            poison = error
            break
        except Exception as error:
            poison = _Poisoned(index, f"{type(error).__name__} in a projection of {fact.recorded.type}")
            break
        draft.versions[stream] = version
        applied += 1
    try:
        stored, index_change = _finish(draft, views, generation)
    except Exception as error:
        # A document that can't be stored or indexed: nothing of this key is applied from this batch.
        raise _Poisoned(0, f"{type(error).__name__} while storing or indexing a document") from error
    changes.versions.update(draft.versions)
    changes.documents.update(stored)
    changes.index.merge(index_change)
    changes.applied += applied
    changes.ignored += ignored
    if poison is not None:
        raise poison


def _project(draft: _Draft, fact: Fact, state: State) -> None:
    """Folds one fact into all its documents, or into none."""
    results = []
    for view, key in fact.targets:
        document = draft.after.get(key)
        if document is None:
            stored = state.documents.get(key)
            if stored is not None:
                document = draft.before.get(key)
                if document is None:
                    document = draft.before[key] = documents.load(stored, view.document)
        results.append((key, view.project(document, fact.event, fact.recorded)))
    for key, document in results:
        draft.after[key] = document


def _finish(draft: _Draft, views: dict[str, View[Any]], generation: Generation) -> tuple[dict[str, bytes], IndexChange]:
    """The bytes of every document that changed, and what that does to the indexes."""
    stored: dict[str, bytes] = {}
    index = IndexChange()
    for key, after in draft.after.items():
        view, before = views[key], draft.before.get(key)
        if after == before:
            continue
        hidden = view.is_hidden(after)
        stored[key] = documents.store(after, hidden=hidden)
        if view.facets:
            shown_before = None if before is None or view.is_hidden(before) else before
            index.move(view.facets, generation, shown_before, None if hidden else after)
    return stored, index
