"""The histogram of requests says what the client library's own would say."""

import random

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from chassis.http_metrics import BOUNDS, NAME, RequestSeconds


def _lines(registry: CollectorRegistry) -> list[str]:
    """What a scrape shows, without what is said of when a series came to be."""
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


def test_it_shows_what_the_client_librarys_histogram_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    requests = RequestSeconds(ours)
    histogram = Histogram(
        NAME, "Time from a request's arrival to its answer.", ["operation", "status"], buckets=BOUNDS, registry=theirs
    )
    rnd = random.Random(5)
    for seconds in (*BOUNDS, 0.0, 31.0, *(rnd.expovariate(20) for _ in range(1000))):
        operation, status = rnd.choice(("get_product", 'odd"name')), rnd.choice((200, 503))
        requests.observe(operation, status, seconds)
        histogram.labels(operation, str(status)).observe(seconds)
    assert _lines(ours) == _lines(theirs)


def test_what_was_never_asked_for_has_no_series() -> None:
    registry = CollectorRegistry()
    RequestSeconds(registry)
    assert [line for line in _lines(registry) if not line.startswith("#")] == []
