"""What most queries do: answer one document by its key, or one page of a list behind its cursor."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import Field

from chassis.http import Call, Reply
from chassis.problems import Problem
from contracts.keys import Generation
from query_service.answers import asked, document_reply, list_reply, page_answer
from query_service.cursors import read_cursor, write_cursor
from query_service.paging import Page
from query_service.parameters import Cursor, Limit, Parameters, no_query
from query_service.read_model.demand import Demand
from query_service.read_model.image import Sendable
from query_service.read_model.reading import ReadModel


class PagedQuery(Parameters):
    """The query parameters that every list has."""

    limit: Limit = 20
    cursor: Annotated[Cursor | None, Field()] = None


async def reply_document(
    read_model: ReadModel, call: Call, key: Callable[[Generation], str], absent: Callable[[], Problem]
) -> Reply:
    """The document under a key; raises what `absent` gives where clients must see none."""
    no_query(call)
    wanted = asked(call)
    document = await read_model.document(key, wanted.demand)
    if document is None:
        raise absent()
    return document_reply(wanted, *document)


ReadPage = Callable[[bytes | None, Demand], Awaitable[Page]]
"""Reads the page behind a position; None: the first."""


async def reply_page(call: Call, query: PagedQuery, binding: str, read: ReadPage) -> Reply:
    """The page behind the query's cursor, which is one of the list that `binding` describes."""
    wanted = asked(call)
    return list_reply(wanted, (await answer_page(call, wanted.demand, query, binding, read))[0])


async def answer_page(
    call: Call, demand: Demand, query: PagedQuery, binding: str, read: ReadPage
) -> tuple[Sendable, Page]:
    """Ready to send; and the page that was read."""
    after = None if query.cursor is None else read_cursor(binding, query.cursor)
    page = await read(after, demand)
    next_cursor = None if page.position is None else write_cursor(binding, page.position)
    return page_answer(call, page.items, next_cursor), page
