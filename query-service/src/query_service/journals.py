"""Journals: lists in the order of the log, the newest first. A history is one, and so is the list of alerts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from chassis.body import validate_parameters
from chassis.http import Call, Reply
from chassis.problems import Problem
from contracts.documents import HistoryEntry, sendable
from contracts.keys import POSITION_DIGITS, Generation, journal_entry
from query_service.paging import Page, Rows, fill_page
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script
from query_service.replying import PagedQuery, reply_page

JOURNAL: Final = Script("journal.lua")

_BEHIND: Final = b"\xff"
"""Behind whatever entry follows a position: JSON has no such byte."""

HISTORY_LIST: Final = """The newest event first. The newest 1,000 are kept here; all of them are in the log, which the
command API shows at `/streams`. A cursor never expires."""


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal, and the document of what it tells of where it tells of one thing. Without that there is no journal."""

    key: Callable[[Generation], str]
    subject: Callable[[Generation], str] | None = None
    absent: Problem | None = None
    """Raised when the subject is not there."""

    def keys(self, generation: Generation) -> list[str]:
        return [self.key(generation), *([self.subject(generation)] if self.subject else [])]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """What happened, and where the list goes on; null at its end only."""

    items: list[HistoryEntry]
    next_cursor: str | None


class HistoryQuery(PagedQuery):
    """The query parameters of a history."""


async def history_reply(read_model: ReadModel, call: Call, binding: str, journal: Journal) -> Reply:
    """The page of a history that is asked for.

    Raises:
        Problem: `journal.absent`, and what every query may answer.
    """
    query = validate_parameters(HistoryQuery, call.query())

    def read(after: bytes | None, demand: Demand) -> Awaitable[Page]:
        return read_journal(read_model, journal, after, query.limit, demand)

    return await reply_page(call, query, binding, read)


async def read_journal(
    read_model: ReadModel,
    journal: Journal,
    after: bytes | None,
    limit: int,
    demand: Demand,
    accepts: Callable[[bytes], bool] | None = None,
) -> Page:
    """The next `limit` entries behind the position `after`, as they are stored; with a filter as `fill_page` says.

    An entry's position is that of its event in the log, so no two entries share one.
    """

    async def read(at: bytes | None, count: int) -> Rows:
        low = b"-" if at is None else b"(" + at + _BEHIND
        members, subject = await read_model.run(JOURNAL, journal.keys, lambda _: (low, count), demand)
        if journal.absent is not None and sendable(subject) is None:
            raise journal.absent
        rows = [(member[:POSITION_DIGITS], journal_entry(member)) for member in members[:count]]
        return Rows(rows, len(members) > count)

    return await fill_page(read, after, limit, accepts)
