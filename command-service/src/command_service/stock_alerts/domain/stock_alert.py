"""The alerts of one product: which crossings were recorded already."""

from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import TypeAdapter

from command_service.decider import Aggregate, Stream
from contracts.events import StockAlertEvent, StockRanLow, StockRanOut
from contracts.streams import stock_alert_stream


@dataclass(frozen=True, slots=True)
class StockAlerts:
    """The versions of the inventory by which it last ran out, and last ran low; 0: never."""

    out_at: int = 0
    low_at: int = 0


def evolve(state: StockAlerts, event: StockAlertEvent) -> StockAlerts:
    match event:
        case StockRanOut():
            return replace(state, out_at=event.inventory_version)
        case StockRanLow():
            return replace(state, low_at=event.inventory_version)
        case _:
            assert_never(event)


STOCK_ALERTS: Aggregate[StockAlerts] = Aggregate(
    kind="stockalert",
    initial=StockAlerts(),
    evolve=evolve,
    exists=lambda state: state != StockAlerts(),
    snapshot=TypeAdapter(StockAlerts),
)


def stock_alerts(product_id: str) -> Stream[StockAlerts]:
    return Stream(stock_alert_stream(product_id), STOCK_ALERTS)
