"""How much is measured, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass, field

CONNECTIONS = 64
"""HTTP clients at a time, wherever the row does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`scale` 1 is the measurement; a smaller one shows that everything works, and its figures mean nothing."""

    rounds: int = 3
    scale: float = 1.0
    growth: int = 100_000
    """Products at the end of the growth rows."""
    apis: int = 1
    """API processes on either side."""
    rows: Sequence[str] = field(default=())
    """Those to measure; all when none is named."""
    renew: bool = False
    """Whether these rows are to stand for the project in place of those that are kept."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.scale <= 0 or self.apis < 1:
            raise ValueError("rounds and apis are at least 1, and the scale is above 0")

    def scaled(self, count: int, least: int = 1) -> int:
        return max(least, round(count * self.scale))

    @property
    def seconds(self) -> float:
        """For which a load is measured."""
        return max(1.0, 10.0 * self.scale)

    @property
    def warm(self) -> float:
        """For which it runs before."""
        return max(0.5, 3.0 * self.scale)

    @property
    def peer_seconds(self) -> float:
        """After which a peer is stopped that works off a backlog at its own rate."""
        return max(5.0, 30.0 * self.scale)

    @property
    def trial_seconds(self) -> float:
        """For which a peer is tried with one choice of its settings."""
        return max(2.0, 5.0 * self.scale)

    @property
    def commands(self) -> int:
        """Through the executor, and through the queues."""
        return self.scaled(100_000, 1000)

    @property
    def backlog(self) -> int:
        """Events that the relay and the projector work off."""
        return self.scaled(200_000, 2000)

    @property
    def rebuilt(self) -> int:
        """Events of a rebuild."""
        return self.scaled(1_000_000, 3000)

    @property
    def products(self) -> int:
        """In the shops of the reading rows."""
        return self.scaled(10_000, 500)

    @property
    def sizes(self) -> list[int]:
        """Products at which the growth rows are measured."""
        return [size for size in (1_000, 100_000, 1_000_000) if size < self.growth] + [self.growth]

    @property
    def renews(self) -> bool:
        """Whether the rows may take the place of those that are kept: no others are as good."""
        return self.renew and self.scale >= 1

    @property
    def is_whole(self) -> bool:
        """Whether the run measures everything in full, so that its figures may stand for the project."""
        return not self.rows and self.scale >= 1
