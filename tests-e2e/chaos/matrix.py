"""What was done to the system, when, and what came of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["lost", "doubled", "stale", "failed"]
KINDS: Final[tuple[Kind, ...]] = ("lost", "doubled", "stale", "failed")
CALM: Final = "no fault"
AFTERWARDS: Final = "(at the end)"


@dataclass(slots=True)
class Row:
    """One kind of fault. `longest` is the longest time in seconds from its beginning until all answered again."""

    times: int = 0
    skipped: str = ""
    longest: float = 0.0
    found: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


@dataclass(frozen=True, slots=True)
class Moment:
    """Which faults were about when something began, and how many had begun or ended that excuse a failure."""

    name: str
    is_calm: bool
    number: int


class Matrix:
    """Fault × how often × what was found. One thread injects, another reports what its clients find."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.findings: list[str] = []
        self._active: list[tuple[str, bool]] = []
        self._number = 0
        self._lock = threading.Lock()

    @property
    def now(self) -> Moment:
        with self._lock:
            names = [name for name, _ in self._active]
            is_calm = not any(is_excuse for _, is_excuse in self._active)
            return Moment(" + ".join(names) or CALM, is_calm, self._number)

    def is_calm_since(self, before: Moment) -> bool:
        """Whether no fault was about then or came since: whoever failed meanwhile has no excuse."""
        now = self.now
        return before.is_calm and now.is_calm and now.number == before.number

    @contextmanager
    def during(self, name: str, *, is_excuse: bool = True) -> Iterator[None]:
        """A fault, from before it is injected until all has recovered from it."""
        began = time.monotonic()
        with self._lock:
            self._active.append((name, is_excuse))
            self._number += is_excuse
            row = self.rows.setdefault(name, Row())
            row.times += 1
        try:
            yield
        finally:
            with self._lock:
                self._active.remove((name, is_excuse))
                self._number += is_excuse
                row.longest = max(row.longest, time.monotonic() - began)

    def skip(self, name: str, why: str) -> None:
        with self._lock:
            row = self.rows.setdefault(name, Row())
            row.skipped, row.times = why, 0

    def find(self, kind: Kind, what: str, during: str | None = None) -> None:
        """Something that must never be. `during` is the fault that it is put down to."""
        name = during or self.now.name
        with self._lock:
            for each in name.split(" + "):
                self.rows.setdefault(each, Row()).found[kind] += 1
            self.findings.append(f"{kind} during {name}: {what}")

    def table(self) -> str:
        """One line a fault."""
        head = ("fault", "times", *KINDS, "recovered")
        lines = [head]
        for name, row in sorted(self.rows.items()):
            recovered = row.skipped or (f"{row.longest:.1f} s" if row.longest else "")
            lines.append((name, str(row.times), *(str(row.found[kind]) for kind in KINDS), recovered))
        widths = [max(len(line[n]) for line in lines) for n in range(len(head) - 1)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:-1], widths[1:], strict=True))])
            + f"  {line[-1]}"
            for line in lines
        )
