"""Percentiles, ratios and verdicts."""

import pytest

from benchmarks.figures import (
    FALLS_SHORT,
    LOWER,
    NONE,
    REACHED,
    Line,
    Reach,
    at_most,
    distribution,
    figure,
    percentile,
    share_of,
    times,
    within,
)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.011, 2)]
)
def test_a_percentile_is_the_value_that_the_share_does_not_exceed(share: float, value: float) -> None:
    assert percentile(range(1, 101), share) == value


def test_one_value_is_every_percentile_and_none_is_zero() -> None:
    assert percentile([7.0], 0.0) == percentile([7.0], 0.5) == percentile([7.0], 1.0) == 7.0
    assert percentile([], 0.99) == 0.0


def test_a_distribution_does_not_ask_for_order() -> None:
    kept = distribution([3.0, 1.0, 2.0])
    assert kept["0.0"] == 1.0
    assert kept["0.5"] == 2.0
    assert kept["1.0"] == 3.0
    assert kept["0.99"] == 3.0


def test_a_figure_is_the_median_of_its_rounds_with_the_farthest_round_as_spread() -> None:
    rates = figure("/s", [100.0, 130.0, 110.0])
    assert rates.median == 110.0
    assert rates.spread == pytest.approx(20 / 110)
    assert str(rates) == "110/s ±18%"


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346 ms"), (99.94, "99.9 ms"), (7.0, "7 ms"), (1.234, "1.23 ms"), (0.0, "0 ms")],
)
def test_a_figure_is_as_exact_as_it_is_small(value: float, text: str) -> None:
    assert str(figure("ms", [value])) == text


def line(ours: float, theirs: float | None, reach: Reach | None) -> Line:
    return Line("it", figure("/s", [ours]), "another", None if theirs is None else figure("/s", [theirs]), reach)


@pytest.mark.parametrize(
    ("ours", "theirs", "reach", "verdict"),
    [
        (400.0, 100.0, times(4), REACHED),
        (399.0, 100.0, times(4), FALLS_SHORT),
        (60.0, 100.0, share_of(0.6), REACHED),
        (59.0, 100.0, share_of(0.6), FALLS_SHORT),
        (150.0, 100.0, within(1.5), REACHED),
        (151.0, 100.0, within(1.5), FALLS_SHORT),
        (99.0, 100.0, LOWER, REACHED),
        (101.0, 100.0, LOWER, FALLS_SHORT),
        (10.0, 1000.0, at_most(10, "ms"), REACHED),
        (10.1, 1000.0, at_most(10, "ms"), FALLS_SHORT),
        (0.0, None, NONE, REACHED),
        (1.0, None, NONE, FALLS_SHORT),
        (1.0, 100.0, None, ""),
    ],
)
def test_a_line_says_whether_it_reaches_what_it_must(
    ours: float, theirs: float | None, reach: Reach | None, verdict: str
) -> None:
    assert line(ours, theirs, reach).verdict == verdict


def test_a_ratio_is_of_the_medians() -> None:
    compared = Line("it", figure("/s", [10.0, 20.0, 90.0]), "another", figure("/s", [1.0, 5.0, 4.0]), times(4))
    assert compared.ratio == 5.0


def test_a_line_that_is_judged_by_a_ratio_needs_something_beside_it() -> None:
    with pytest.raises(AssertionError, match="nothing beside it"):
        _ = line(1.0, None, times(4)).verdict
