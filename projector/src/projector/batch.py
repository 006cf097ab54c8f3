"""A batch: events of one partition, parsed once and grouped by partition key, with all that must be read for them."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from contracts import events
from contracts.envelope import RecordedEvent
from contracts.keys import Generation
from projector.projections.views import STREAM_OF, VIEWS_OF, View

_POSITION: Final = attrgetter("position")

Target = tuple[View[Any], str]
"""A view and the key of the document in it that an event changes."""


class Fact(NamedTuple):
    """An event to apply: parsed, or `unreadable` says why it could not be.

    A discarded one is not even read: it is applied without any effect.
    """

    recorded: RecordedEvent
    event: events.Event | None
    targets: tuple[Target, ...] = ()
    unreadable: str = ""
    discarded: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Facts by partition key, in the order of the log. Keys don't depend on each other."""

    facts: dict[str, list[Fact]]
    streams: tuple[str, ...]
    documents: dict[str, View[Any]]
    """By their keys in Redis."""
    last_position: int
    last_recorded_at: str


def gather(recorded: Iterable[RecordedEvent], generation: Generation, discards: frozenset[str] = frozenset()) -> Batch:
    """The batch of events in any order, repeated or not. Their order in the log is also that of each stream.

    Those whose ids are in `discards` have been discarded by an operator.
    """
    ordered = sorted(recorded, key=_POSITION)
    by_key: dict[str, list[Fact]] = {}
    streams: dict[str, None] = {}
    documents: dict[str, View[Any]] = {}
    for event in ordered:
        # An id costs something to make: nobody pays for it who has discarded nothing.
        is_discarded = discards and event.id in discards
        fact = Fact(event, None, discarded=True) if is_discarded else _fact(event, generation)
        facts = by_key.get(event.partition_key)
        if facts is None:
            by_key[event.partition_key] = [fact]
        else:
            facts.append(fact)
        streams[event.stream_id] = None
        for view, key in fact.targets:
            documents[key] = view
    last = ordered[-1] if ordered else None
    return Batch(by_key, tuple(streams), documents, last.position if last else 0, last.recorded_at if last else "")


def _fact(recorded: RecordedEvent, generation: Generation) -> Fact:
    try:
        event = events.parse(recorded.type, recorded.schema_version, recorded.data)
        cls = type(event)
        stream = STREAM_OF[cls](recorded.partition_key, event)
        if stream != recorded.stream_id:
            return Fact(recorded, None, unreadable=f"{recorded.type} does not belong into {recorded.stream_id}")
        targets = tuple((view, view.key(generation, recorded.partition_key, event)) for view in VIEWS_OF[cls])
    except events.UnreadableEvent as error:
        return Fact(recorded, None, unreadable=str(error))
    except MemoryError:
        # The machine's fault, not the event's.
        raise
    except Exception as error:
        # Whatever an event manages to break here must stop its own key and nothing else.
        return Fact(recorded, None, unreadable=f"{type(error).__name__} while reading {recorded.type}")
    return Fact(recorded, event, targets)
