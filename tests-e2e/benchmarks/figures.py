"""Figures, what they are held against, and the verdict: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Literal

FALLS_SHORT: Final = "falls short"
REACHED: Final = "reached"

QUANTILES: Final = (*(n / 100 for n in range(0, 100, 5)), 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0)
"""Those of a distribution that are kept."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed (nearest rank); of no values at all, 0."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Quantile → value, as JSON keeps it."""
    ordered = sorted(values)
    return {str(share): percentile(ordered, share) for share in QUANTILES}


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured in every round."""

    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def spread(self) -> float:
        """How far a round was from the median at most, as a share of it."""
        middle = self.median
        return max(abs(value - middle) for value in self.rounds) / abs(middle) if middle else 0.0

    def __str__(self) -> str:
        value = self.median
        text = (
            f"{value:,.0f}"
            if value >= 100 or value == int(value)
            else f"{value:,.2f}"
            if value < 10
            else f"{value:,.1f}"
        )
        spread = f" ±{self.spread:.0%}" if len(self.rounds) > 1 else ""
        return f"{text}{'' if self.unit.startswith('/') else ' '}{self.unit}{spread}"

    def to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "median": self.median, "spread": self.spread, "rounds": list(self.rounds)}


def figure(unit: str, rounds: Sequence[float]) -> Figure:
    return Figure(unit, tuple(rounds))


@dataclass(frozen=True, slots=True)
class Reach:
    """What is to be reached: by our figure's ratio to the one beside it, or by the figure itself."""

    text: str
    judged: Literal["ratio", "value"]
    least: float = float("-inf")
    most: float = float("inf")

    def holds(self, value: float) -> bool:
        return self.least <= value <= self.most


def times(least: float) -> Reach:
    return Reach(f"≥ {least:g}×", "ratio", least=least)


def share_of(least: float) -> Reach:
    return Reach(f"≥ {least:.0%} of it", "ratio", least=least)


def within(most: float) -> Reach:
    return Reach(f"≤ {most:g}× of it", "ratio", most=most)


LOWER: Final = Reach("lower", "ratio", most=1.0)


def at_most(most: float, unit: str) -> Reach:
    return Reach(f"≤ {most:g} {unit}", "value", most=most)


NONE: Final = Reach("none", "value", most=0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison: a line of the table. Without `reach` it is only shown."""

    what: str
    ours: Figure
    beside: str = ""
    theirs: Figure | None = None
    reach: Reach | None = None

    @property
    def ratio(self) -> float | None:
        """Of the medians."""
        if self.theirs is None:
            return None
        return self.ours.median / self.theirs.median if self.theirs.median else float("inf")

    @property
    def verdict(self) -> str:
        """`reached`, `falls short`, or nothing where nothing is to be reached."""
        if self.reach is None:
            return ""
        judged = self.ratio if self.reach.judged == "ratio" else self.ours.median
        assert judged is not None, f"{self.what} has nothing beside it"
        return REACHED if self.reach.holds(judged) else FALLS_SHORT

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "ours": self.ours.to_json(),
            "beside": self.beside,
            "theirs": self.theirs.to_json() if self.theirs else None,
            "ratio": self.ratio,
            "reach": self.reach.text if self.reach else None,
            "verdict": self.verdict or None,
        }


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of a row's own, for what stands beside nothing."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        return {"title": self.title, "columns": list(self.columns), "rows": [list(row) for row in self.rows]}


@dataclass(slots=True)
class Result:
    """What a row of the table came to: its lines, what must be said about them, and all else that was seen."""

    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    grids: list[Grid] = field(default_factory=list)
