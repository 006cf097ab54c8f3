"""What a verification has seen, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as the log says. It may pass if it is for an event that has not been applied yet."""

    text: str
    missing: int = 0
    """The position of that event; 0 when there is none."""


@dataclass(slots=True)
class Findings:
    """Tells each difference as one line, and counts."""

    tell: Callable[[str], None]
    watch: Callable[["Findings"], None]
    """Called now and then, to show how far it is."""
    events: int = 0
    """Events that were compared with documents; those of sums are the same ones."""
    keys: int = 0
    """Keys in Redis."""
    members: int = 0
    """Index members."""
    parked: int = 0
    differences: int = 0

    def differs(self, text: str) -> None:
        self.differences += 1
        self.tell(text)

    def is_parked(self, text: str) -> None:
        """A parked key is told, and is no difference: it stands where it should."""
        self.parked += 1
        self.tell(f"parked: {text}")

    def seen(self, *, events: int = 0, keys: int = 0, members: int = 0) -> None:
        self.events += events
        self.keys += keys
        self.members += members
        self.watch(self)
