"""Given alerts, when RecordStockAlert, then an alert or nothing."""

from command_service.stock_alerts.domain.record_stock_alert import RecordStockAlert, decide
from command_service.stock_alerts.domain.stock_alert import STOCK_ALERTS, evolve
from contracts.events import StockAlertEvent, StockRanLow, StockRanOut

PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"


def record(threshold: int, version: int, *past: StockAlertEvent) -> list[StockAlertEvent]:
    state = STOCK_ALERTS.initial
    for event in past:
        state = evolve(state, event)
    assert STOCK_ALERTS.snapshot.validate_json(STOCK_ALERTS.snapshot.dump_json(state)) == state
    command = RecordStockAlert(product_id=PRODUCT, threshold=threshold, available=0, inventory_version=version)
    return list(decide(command, state))


def out(version: int) -> StockRanOut:
    return StockRanOut(available=0, inventory_version=version)


def low(version: int) -> StockRanLow:
    return StockRanLow(available=0, threshold=5, inventory_version=version)


def test_the_threshold_0_means_that_a_product_ran_out() -> None:
    assert record(0, 7) == [out(7)]


def test_another_threshold_means_that_it_ran_low() -> None:
    assert record(5, 7) == [low(7)]


def test_a_crossing_that_was_recorded_is_not_recorded_again() -> None:
    assert record(0, 7, out(7)) == record(5, 7, low(7)) == []


def test_a_later_crossing_is_recorded() -> None:
    assert record(0, 9, out(7)) == [out(9)]
    assert record(5, 9, low(7)) == [low(9)]


def test_the_two_alerts_of_one_event_do_not_hide_each_other() -> None:
    assert record(0, 7, low(7)) == [out(7)]
    assert record(5, 7, out(7)) == [low(7)]
