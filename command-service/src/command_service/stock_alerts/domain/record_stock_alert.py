"""A product's available pieces went from above a threshold to it or below."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from command_service.decider import Command, on_stream
from command_service.fields import Uuid
from contracts.events import StockAlertEvent, StockRanLow, StockRanOut

from .stock_alert import StockAlerts, stock_alerts


class RecordStockAlert(Command):
    """Internal. By version `inventory_version` of its inventory, `available` pieces were left.

    The threshold 0 means that the product ran out, a higher one that it ran low.
    """

    product_id: Uuid
    threshold: Annotated[int, Field(ge=0)]
    available: Annotated[int, Field(ge=0)]
    inventory_version: Annotated[int, Field(ge=1)]


def decide(command: RecordStockAlert, state: StockAlerts) -> Iterable[StockAlertEvent]:
    """Nothing when the crossing, or a later one, was recorded: ids of commands are forgotten, the log is not."""
    if command.threshold == 0:
        if command.inventory_version > state.out_at:
            yield StockRanOut(available=command.available, inventory_version=command.inventory_version)
    elif command.inventory_version > state.low_at:
        yield StockRanLow(
            available=command.available, threshold=command.threshold, inventory_version=command.inventory_version
        )


USE_CASE = on_stream(RecordStockAlert, lambda command: stock_alerts(command.product_id), decide)
