"""Constant rates, rates from samples, and backlogs that grow or don't."""

import pytest

from benchmarks.pace import arrivals, bounded, due, rate_between, slope


def test_a_constant_rate_does_not_depend_on_what_happened_before() -> None:
    assert [due(100.0, 4.0, number) for number in range(5)] == [100.0, 100.25, 100.5, 100.75, 101.0]
    assert arrivals(4.0, 1.6) == 6


def test_a_rate_is_measured_while_the_work_is_under_way() -> None:
    # It starts at 2 s and ends between 4 and 5 s; looking later must not make it slower.
    samples = [(0.0, 0.0), (1.0, 0.0), (2.0, 10.0), (3.0, 110.0), (4.0, 210.0), (5.0, 250.0), (9.0, 250.0)]
    assert rate_between(samples, 250.0) == 100.0


def test_a_rate_of_work_that_was_done_between_two_looks_includes_both() -> None:
    assert rate_between([(0.0, 0.0), (1.0, 0.0), (2.0, 50.0), (3.0, 50.0)], 50.0) == 50.0
    assert rate_between([(0.0, 0.0), (1.0, 20.0), (2.0, 50.0)], 50.0) == 30.0


def test_a_rate_of_nothing_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was seen"):
        rate_between([(0.0, 50.0)], 50.0)


def test_a_slope_is_that_of_the_line_through_all_samples() -> None:
    assert slope([(0.0, 5.0), (1.0, 8.0), (2.0, 11.0)]) == pytest.approx(3.0)
    assert slope([(1.0, 7.0)]) == 0.0
    assert slope([]) == 0.0


def test_a_backlog_that_settles_is_bounded_and_one_that_goes_on_growing_is_not() -> None:
    settles = [(float(second), min(second, 3) * 100.0) for second in range(10)]
    grows = [(float(second), second * 100.0) for second in range(10)]
    assert bounded(settles, arriving=1000.0)
    assert not bounded(grows, arriving=1000.0)
    assert bounded(grows, arriving=3000.0)
