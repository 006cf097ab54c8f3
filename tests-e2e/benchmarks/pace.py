"""When things are to happen, and how fast they did: pure."""

from collections.abc import Sequence

Sample = tuple[float, float]
"""(when, how much): seconds and a count that only grows."""


def arrivals(rate: float, seconds: float) -> int:
    """How many requests a constant rate makes in a time."""
    return int(rate * seconds)


def due(began: float, rate: float, number: int) -> float:
    """When the request with this number, counted from 0, is meant to be sent, whatever became of those before it."""
    return began + number / rate


def rate_between(samples: Sequence[Sample], total: float) -> float:
    """Counts a second while a known `total` is worked off, from samples that come now and then.

    It is measured between the first and the last sample at which the work was under way. When it ended lies somewhere
    between two samples, so the one that shows the whole total counts only where there is no other.
    """
    moving = [sample for sample in samples if sample[1] > 0]
    under_way = [sample for sample in moving if sample[1] < total]
    used = under_way if len(under_way) >= 2 else _up_to_the_end(samples, total)
    if len(used) < 2:
        raise ValueError(f"of {total:,.0f} nothing was seen under way: {samples[-5:]}")
    (began, first), (ended, last) = used[0], used[-1]
    return (last - first) / (ended - began)


def _up_to_the_end(samples: Sequence[Sample], total: float) -> list[Sample]:
    before = [sample for sample in samples if sample[1] < total]
    after = [sample for sample in samples if sample[1] >= total]
    return [*before[-1:], *after[:1]]


def slope(samples: Sequence[Sample]) -> float:
    """By how much the count grows a second: a line through all samples (least squares)."""
    if len(samples) < 2:
        return 0.0
    count = len(samples)
    middle = sum(when for when, _ in samples) / count
    spread = sum((when - middle) ** 2 for when, _ in samples)
    return sum((when - middle) * much for when, much in samples) / spread if spread else 0.0


def bounded(backlog: Sequence[Sample], arriving: float, tolerated: float = 0.05) -> bool:
    """Whether a backlog stays bounded while so much arrives a second.

    In the second half of the run it must not grow by more than the tolerated share of what arrives.
    """
    later = backlog[len(backlog) // 2 :]
    return slope(later) <= tolerated * arriving
