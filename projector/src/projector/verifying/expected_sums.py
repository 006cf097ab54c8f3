"""The sums that the log says, in a temporary file: they are as many as the pairs of products ever bought together."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from contracts import documents
from contracts.documents import OrderDetails
from contracts.events import OrderPlaced
from contracts.keys import Generation
from projector.batch import Fact
from projector.folding import MOST_INCREMENTS
from projector.projections.tallies import Tally
from projector.projections.views import VIEWS_OF

Name = tuple[str, bytes]
"""A hash or sorted set, and the field or member of it."""

TALLIED: Final = frozenset(event.__name__ for event, views in VIEWS_OF.items() if any(view.tally for view in views))
"""Types of events that count for sums."""

_CACHE_KIB: Final = 16 * 1024

_SCHEMA: Final = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -{_CACHE_KIB};
    CREATE TABLE sums (key TEXT, name BLOB, sum INTEGER, PRIMARY KEY (key, name)) WITHOUT ROWID;
    CREATE TABLE orders (key TEXT PRIMARY KEY, document BLOB) WITHOUT ROWID;
"""
_ADD: Final = """
    INSERT INTO sums VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sum = sum + excluded.sum
"""
_NEXT: Final = "SELECT key, name FROM sums WHERE (key, name) > (?, ?) ORDER BY key, name LIMIT ?"


class ExpectedSums:
    """Adds up the tallies of events. Each counts once; those of an order come in order."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        # Without a name, SQLite makes a file that is gone when it is closed.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.executescript(_SCHEMA)
        self._pending = Tally()

    def close(self) -> None:
        self._file.close()

    def count(self, fact: Fact) -> None:
        """What an applied event adds; nothing, if it was discarded or can't be read."""
        for view, key in fact.targets:
            if view.tally is None:
                continue
            if isinstance(fact.event, OrderPlaced):
                # What an order counts for follows from its lines, as they were placed.
                placed = documents.store(view.project(None, fact.event, fact.recorded))
                self._file.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", (key, placed))
            else:
                order = self._order(key, fact.recorded.partition_key)
                self._pending.merge(view.tally(self._generation, order, fact.event, fact.recorded))
        if self._pending.size > MOST_INCREMENTS:
            self.flush()

    def _order(self, key: str, order_id: str) -> OrderDetails:
        row = self._file.execute("SELECT document FROM orders WHERE key = ?", (key,)).fetchone()
        return OrderDetails(order_id) if row is None else documents.load(row[0], OrderDetails)

    def flush(self) -> None:
        """Writes down what was counted."""
        pending, self._pending = self._pending, Tally()
        rows = [
            (key, name.encode(), increment)
            for sums in (pending.sums, pending.scores)
            for key, increments in sums.items()
            for name, increment in increments.items()
            if increment
        ]
        self._file.execute("BEGIN")
        self._file.executemany(_ADD, rows)
        self._file.execute("COMMIT")

    def get(self, name: Name) -> int | None:
        """None where nothing was counted."""
        row = self._file.execute("SELECT sum FROM sums WHERE key = ? AND name = ?", name).fetchone()
        return None if row is None else int(row[0])

    def pages(self, size: int) -> Iterator[Sequence[Name]]:
        """The names of all sums. More may be counted in between."""
        last: Any = ("", b"")
        while rows := self._file.execute(_NEXT, (*last, size)).fetchall():
            yield rows
            last = rows[-1]
