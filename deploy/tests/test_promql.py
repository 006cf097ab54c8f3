"""The reader of PromQL sees what Prometheus would silently answer with nothing."""

import pytest

from .promql import Reader, Series, WrongExpression


@pytest.fixture
def reader() -> Reader:
    series = Series()
    for instance in "ab":
        series.add("up", {"job": "relay", "instance": instance})
        for le in ("0.1", "+Inf"):
            series.add("seconds_bucket", {"job": "relay", "instance": instance, "le": le, "status": "200"})
    series.add("seconds_bucket", {"job": "relay", "instance": "b", "le": "+Inf", "status": "503"})
    series.add("whole", {"generation": "1"})
    series.add("live", {})
    return Reader(series)


@pytest.mark.parametrize(
    "right",
    [
        'up{job="relay"} == 0',
        'absent(up{job="relay"})',
        "histogram_quantile(0.99, sum by (le, job) (rate(seconds_bucket[$__rate_interval]))) > 0.5",
        'sum by (job) (rate(seconds_bucket{status="503"}[5m])) / sum by (job) (rate(seconds_bucket[5m]))',
        'sum(rate(seconds_bucket{status=~"2..|5..", status!="503"}[5m])) or vector(0)',
        'max by (generation) (whole) == 0 and on (generation) count_values("generation", live)',
        'sum by (who) (label_replace(up, "who", "$1", "instance", "(.).*")) * on (who) '
        'label_replace(sum by (instance) (up), "who", "$1", "instance", "(.).*")',
        "sum without (le, status) (seconds_bucket) - up",
        "max_over_time(up[5m:1m]) unless on (job) seconds_bucket",
    ],
)
def test_what_has_an_answer_passes(reader: Reader, right: str) -> None:
    reader.check(right)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("sum(rate(secs_bucket[5m]))", "nobody shows secs_bucket"),
        ('up{jobs="relay"}', "up has no label jobs"),
        ('up{job="worker"}', "no up has job=worker"),
        ('up{job=~"relay|worker"}', "no up has job=worker"),
        ('rate(seconds_bucket{status=~"4.."}[5m])', "no seconds_bucket has status=4"),
        ("sum by (partition) (up)", "no label partition"),
        ("histogram_quantile(0.9, sum by (job) (seconds_bucket))", "no label le"),
        ("up == seconds_bucket", "never match"),
        ("up and seconds_bucket", "never match"),
        ("up and on (generation) whole", "no label generation"),
        ('label_replace(up, "a", "$1", "pod", "(.*)")', "no label pod"),
        ("sum(up", "unclosed|parse|unexpected"),
        ("rate(up)", "expected|type"),
    ],
)
def test_what_can_never_have_one_does_not(reader: Reader, wrong: str, why: str) -> None:
    with pytest.raises(WrongExpression, match=why):
        reader.check(wrong)
