"""What the log says that the read model must hold, folded event by event. Grows with documents, not with events."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from contracts import documents
from contracts.documents import Document
from contracts.keys import HISTORY_LENGTH, Generation
from projector.batch import Fact
from projector.projections import journal
from projector.projections.indexing import Entries
from projector.projections.views import STREAM_OF, VIEWS, View

Kinds = frozenset[type[Document]]

ALL: Final[Kinds] = frozenset(view.document for view in VIEWS)

OF_ONE_STREAM: Final[Kinds] = frozenset(
    view.document for view in VIEWS if len({STREAM_OF[event] for event in view.handled}) == 1
)
"""Documents that each belong to one stream. A key may have a million, so they are compared stream by stream."""

OF_SEVERAL_STREAMS: Final[Kinds] = ALL - OF_ONE_STREAM
"""A key has few of them, whatever happens to it."""


class Folded:
    """The documents of some kinds that facts lead to; and histories and alerts, but not of a single stream alone."""

    def __init__(self, generation: Generation, kinds: Kinds = ALL) -> None:
        self._generation = generation
        self._kinds = kinds
        self._documents: dict[str, tuple[View[Any], str, Any]] = {}
        self._histories: dict[str, list[bytes]] = {}
        self.alerts: list[bytes] = []
        self.faults: list[str] = []
        """Why events could not be folded that Redis says are applied."""

    def add(self, fact: Fact) -> None:
        """Folds in an event that is applied. Those of a stream come in order."""
        recorded, journals = fact.recorded, self._kinds != OF_ONE_STREAM
        if fact.discarded or (fact.event is None and not journals):
            return
        try:
            if fact.event is None:
                raise ValueError(fact.unreadable)
            changed = []
            for view, key in fact.targets:
                if view.document in self._kinds:
                    _, _, before = self._documents.get(key, (view, "", None))
                    changed.append((key, (view, recorded.partition_key, view.project(before, fact.event, recorded))))
            self._documents.update(changed)
            if journals:
                self._remember(fact)
        except Exception as error:
            self.faults.append(f"{recorded.id} counts as applied, but can't be: {error}")

    def _remember(self, fact: Fact) -> None:
        recorded = fact.recorded
        history = self._histories.setdefault(self._generation.history_of(recorded.stream_id), [])
        history.append(journal.history_member(recorded))
        if len(history) >= 2 * HISTORY_LENGTH:
            history.sort()
            del history[HISTORY_LENGTH:]
        alert = journal.alert_member(fact.event, recorded) if fact.event is not None else None
        if alert is not None:
            self.alerts.append(alert)

    def stored(self) -> dict[str, bytes]:
        """The bytes of every document, by its key."""
        found: dict[str, bytes] = {}
        for key, (view, partition_key, document) in self._documents.items():
            hidden = view.is_hidden(document)
            found[key] = documents.store(document, hidden=hidden)
            for excerpt in view.excerpts:
                excerpt_key = excerpt.key(self._generation, partition_key)
                found[excerpt_key] = documents.store(excerpt.make(document), hidden=hidden)
        return found

    def entries(self) -> Entries:
        """What all documents must be found by that are shown."""
        return merged(
            facet.entries(self._generation, document)
            for view, _, document in self._documents.values()
            if view.facets and not view.is_hidden(document)
            for facet in view.facets
        )

    def history(self, key: str) -> list[bytes]:
        """The newest entries of a history, the newest first."""
        return sorted(self._histories.get(key, ()))[:HISTORY_LENGTH]


def merged(parts: Iterable[Entries]) -> Entries:
    """The members and pointers of them all."""
    found = list(parts)
    return Entries(
        frozenset().union(*(entries.members for entries in found)),
        frozenset().union(*(entries.pointers for entries in found)),
    )


def document_keys(facts: Iterable[Fact], generation: Generation, kinds: Kinds = ALL) -> Iterator[str]:
    """Where documents of some kinds may stand that these facts change."""
    for fact in facts:
        for view, key in fact.targets:
            if view.document in kinds:
                yield key
                for excerpt in view.excerpts:
                    yield excerpt.key(generation, fact.recorded.partition_key)


def history_keys(facts: Iterable[Fact], generation: Generation) -> Iterator[str]:
    for fact in facts:
        yield generation.history_of(fact.recorded.stream_id)
