"""What the read model of a log must be: documents by one fold of each key, all else counted anew from the log."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from contracts.documents import OrderDetails, load, store
from contracts.envelope import RecordedEvent
from contracts.keys import HISTORY_LENGTH, journal_member
from contracts.money import to_ticks
from projector.batch import gather
from projector.folding import Changes, State, fold
from projector.projections.indexing import IndexChange
from projector.projections.order_summary import summarise
from projector.projections.views import VIEWS
from projector_testing.shop import GENERATION, Log

MOST_PRODUCTS_TOGETHER = 100


def fold_into(
    state: State, events_: Iterable[RecordedEvent], discards: frozenset[str] = frozenset()
) -> tuple[State, Changes]:
    """The state after folding a batch that has no gap."""
    changes = fold(gather(events_, GENERATION, discards), state, GENERATION, now=0.0)
    assert not changes.gaps
    after = State({**state.versions, **changes.versions}, {**state.documents, **changes.documents}, {})
    return after, changes


@dataclass
class Written:
    """What Redis would hold after changes were written, but for documents and versions."""

    sets: dict[str, set[bytes]] = field(default_factory=dict)
    sums: dict[str, dict[bytes, float]] = field(default_factory=dict)
    strings: dict[str, bytes] = field(default_factory=dict)

    def write(self, changes: Changes) -> None:
        for command, key, *arguments in (
            *changes.index.commands(GENERATION),
            *changes.journal.commands(GENERATION),
        ):
            self._write(str(command), str(key), arguments)
        for command, key, pairs in changes.tally.increments():
            order = 1 if command == "HINCRBY" else -1
            for pair in zip(pairs[::2], pairs[1::2], strict=True):
                name, increment = pair[::order]
                self._add(key, str(name), int(increment))
        self.strings |= changes.excerpts

    def _write(self, command: str, key: str, arguments: list[Any]) -> None:
        match command:
            case "ZADD":
                self.sets.setdefault(key, set()).update(arguments[1::2])
            case "ZREM":
                self.sets[key] -= set(arguments)
            case "ZREMRANGEBYRANK":
                self.sets[key] -= set(sorted(self.sets[key])[arguments[0] :])
            case "SET":
                self.strings[key] = str(arguments[0]).encode()
            case "DEL":
                self.strings.pop(key, None)
            case "HINCRBY":
                self._add(key, *arguments)
            case _:
                raise AssertionError(command)

    def _add(self, key: str, name: str, increment: int) -> None:
        sums = self.sums.setdefault(key, {})
        sums[name.encode()] = sums.get(name.encode(), 0) + increment

    def keys(self, state: State) -> dict[str, Any]:
        """All keys, in the form of `expected`."""
        found: dict[str, Any] = {GENERATION.version(s): str(v).encode() for s, v in state.versions.items()}
        found |= state.documents | self.strings | self.sets
        for key, sums in self.sums.items():
            hashed = not key.startswith(GENERATION.bought_with(""))
            found[key] = {name: str(n).encode() if hashed else float(n) for name, n in sums.items() if n}
        return {key: value for key, value in found.items() if value}


def expected(log: Log) -> dict[str, Any]:
    """Every key that the read model of a log must have.

    Sorted sets are sets of members, or where scores count, dicts from member to score; hashes are dicts.
    """
    by_key: dict[str, list[RecordedEvent]] = {}
    for event in log.events:
        by_key.setdefault(event.partition_key, []).append(event)
    keys: dict[str, Any] = {}
    documents: dict[str, bytes] = {}
    for events_ in by_key.values():
        _, changes = fold_into(State({}, {}, {}), events_, frozenset(log.discarded))
        documents |= changes.documents
        keys |= {GENERATION.version(stream): str(version).encode() for stream, version in changes.versions.items()}
    keys |= documents
    keys |= indexes(documents)
    keys |= summaries(documents)
    keys |= journals(log)
    keys |= sales(log)
    keys |= bought_together(log)
    return keys


def summaries(documents: dict[str, bytes]) -> dict[str, bytes]:
    """The summary of every order, made from its details anew."""
    orders = [load(stored, OrderDetails) for key, stored in documents.items() if key.startswith(GENERATION.order(""))]
    return {GENERATION.order_summary(order.id): store(summarise(order)) for order in orders}


def indexes(documents: dict[str, bytes]) -> dict[str, Any]:
    """The indexes of documents, computed anew."""
    change = IndexChange()
    for key, stored in documents.items():
        kind = key.split(":")[1]
        view = dict(zip(("product", "inventory", "rating", "order"), VIEWS, strict=True))[kind]
        if not stored.startswith(b"-"):
            change.move(view.facets, GENERATION, None, load(stored, view.document))
    found: dict[str, Any] = {key: set(members) for key, members in change.added.items()}
    found |= {key: str(holder).encode() for key, holder in change.pointers.items()}
    if change.counts:
        found[GENERATION.categories] = {k.encode(): str(v).encode() for k, v in change.counts.items()}
    return found


def journals(log: Log) -> dict[str, set[bytes]]:
    """The newest entries of every history, and all alerts."""
    found: dict[str, set[bytes]] = {}
    for event in reversed(log.effective):
        history = found.setdefault(GENERATION.history_of(event.stream_id), set())
        if len(history) < HISTORY_LENGTH:
            entry = {
                "at": event.time,
                "event": event.type,
                "command": event.metadata.command,
                "command_id": event.metadata.command_id,
                "version": event.version,
                "data": event.data,
            }
            history.add(journal_member(event.position, orjson.dumps(entry)))
        if event.type in ("StockRanOut", "StockRanLow"):
            alert = {
                "product_id": event.partition_key,
                "alert": event.type,
                "available": event.data["available"],
                "threshold": event.data.get("threshold", 0),
                "at": event.time,
            }
            member = journal_member(event.position, orjson.dumps(alert))
            found.setdefault(GENERATION.alerts, set()).add(member)
    return found


def sales(log: Log) -> dict[str, dict[bytes, bytes]]:
    """The sums of each day; those of zero are left out."""
    days: dict[str, dict[str, int]] = {}
    lines = _lines(log)
    for event in log.effective:
        data = event.data
        counts = {"refunds": to_ticks(data["refund"])} if "refund" in data else {}
        match event.type:
            case "OrderPaid":
                units = sum(line["quantity"] for line in lines[event.stream_id])
                counts |= {"orders": 1, "units": units, "revenue": to_ticks(data["amount"])}
            case "OrderCancelled" | "OrderExpired":
                counts["cancelled_orders"] = 1
            case "OrderItemsReturned":
                counts["returned_units"] = sum(line["quantity"] for line in data["lines"])
        day = days.setdefault(GENERATION.sales(event.time[:10]), {})
        for name, count in counts.items():
            day[name] = day.get(name, 0) + count
    found = {
        key: {name.encode(): str(count).encode() for name, count in day.items() if count} for key, day in days.items()
    }
    return {key: day for key, day in found.items() if day}


def bought_together(log: Log) -> dict[str, dict[bytes, float]]:
    found: dict[str, dict[bytes, float]] = {}
    lines = _lines(log)
    for event in log.effective:
        products = {line["product_id"] for line in lines[event.stream_id]} if event.type == "OrderPaid" else set()
        if len(products) > MOST_PRODUCTS_TOGETHER:
            continue
        for one in products:
            for other in products - {one}:
                scores = found.setdefault(GENERATION.bought_with(one), {})
                scores[other.encode()] = scores.get(other.encode(), 0.0) - 1.0
    return found


def _lines(log: Log) -> dict[str, list[dict[str, Any]]]:
    """Of every order, by its stream."""
    return {event.stream_id: event.data["lines"] for event in log.effective if event.type == "OrderPlaced"}
