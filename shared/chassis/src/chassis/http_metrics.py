"""How long requests take, by operation and status, measured on routes that answer tens of thousands a second.

The client library's histogram takes two locks and walks its buckets one by one, some 3 µs an observation. Here it is a
binary search and two additions on the event loop's own thread, and the series are put together when they are scraped.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

NAME: Final = "stockroom_http_request_seconds"
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Upper bounds of the buckets, in seconds."""

_LABELS: Final = (*map(floatToGoString, BOUNDS), "+Inf")


class _Series:
    """Observations of one operation and status: how many fell into each bucket, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_LABELS)
        self.total = 0.0


class RequestSeconds(Collector):
    """Counts requests by operation (its name, never the path that was asked for) and status. For one thread only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._series: dict[tuple[str, int], _Series] = {}
        registry.register(self)

    def observe(self, operation: str, status: int, seconds: float) -> None:
        key = (operation, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.counts[bisect_left(BOUNDS, seconds)] += 1
        series.total += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            NAME, "Time from a request's arrival to its answer.", labels=["operation", "status"]
        )
        for (operation, status), series in self._series.items():
            buckets = list(zip(_LABELS, accumulate(series.counts), strict=True))
            family.add_metric([operation, str(status)], buckets, series.total)
        yield family
