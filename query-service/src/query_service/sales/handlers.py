"""The query about sales: from the call to the bytes that are sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

import orjson
from pydantic import Field

from chassis.body import invalid, validate_parameters
from chassis.http import Call, Reply
from chassis.problems import Problem, parameter_error
from contracts.documents import DaySales
from contracts.money import from_ticks
from query_service.answers import asked, list_answer, list_reply
from query_service.parameters import Day, Parameters
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script

MOST_DAYS: Final = 366
DAYS: Final = 30
"""So many days are answered when `from` is not given."""

FIELDS: Final = ("orders", "units", "revenue", "cancelled_orders", "returned_units", "refunds")
SALES: Final = Script("sales.lua")


class SalesQuery(Parameters):
    """The query parameters of `GET /sales/daily`."""

    first: Annotated[
        Day | None, Field(alias="from", description=f"The first day (UTC); {DAYS - 1} days before `to` when absent.")
    ] = None
    last: Annotated[Day | None, Field(alias="to", description="The last day (UTC); today when absent.")] = None

    def days(self, today: date) -> list[date]:
        """The days asked for, both ends included.

        Raises:
            Problem: 422 that names `from`: it is behind `to`, or too far ahead of it.
        """
        last = self.last or today
        first = self.first or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
        count = (last - first).days + 1
        if count < 1:
            raise _refusal(f"It is behind to, which is {last}.")
        if count > MOST_DAYS:
            raise _refusal(f"At most {MOST_DAYS} days can be asked for at once, and these are {count}.")
        return [first + timedelta(n) for n in range(count)]


def _refusal(detail: str) -> Problem:
    return invalid([parameter_error("from", detail)])


@dataclass(frozen=True, slots=True)
class Sales:
    """Each day asked for in turn, and the currency of all money."""

    items: list[DaySales]
    currency: str


class SalesQueries:
    """`currency` is the shop's as far as this service knows, for a read model that was not told yet."""

    def __init__(self, read_model: ReadModel, currency: str) -> None:
        self._read_model = read_model
        self._currency = currency

    async def daily(self, call: Call) -> Reply:
        days = validate_parameters(SalesQuery, call.query()).days(datetime.now(UTC).date())
        wanted = asked(call)
        return list_reply(wanted, list_answer(orjson.dumps(await self._sales(days, wanted.demand))))

    async def _sales(self, days: list[date], demand: Demand) -> Sales:
        dates = [day.isoformat() for day in days]
        currency, *found = await self._read_model.run(
            SALES, lambda g: [g.currency, *map(g.sales, dates)], lambda _: FIELDS, demand
        )
        items = [_day(day, sums) for day, sums in zip(dates, found, strict=True)]
        return Sales(items, currency.decode() if currency else self._currency)


def _day(day: str, sums: Sequence[bytes | None]) -> DaySales:
    """A day from the values of `FIELDS`; what is absent is 0."""
    orders, units, revenue, cancelled, returned, refunds = (int(value or 0) for value in sums)
    return DaySales(day, orders, units, from_ticks(revenue), cancelled, returned, from_ticks(refunds))
