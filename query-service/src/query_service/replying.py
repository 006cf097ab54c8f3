"""What most queries do: answer one document by its key, or one page of a list behind its cursor."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import Field

from chassis.http import Call, Reply
from chassis.problems import Problem
from contracts.keys import Generation
from query_service.answers import asked, document_reply, page_reply
from query_service.cursors import read_cursor, write_cursor
from query_service.paging import Page
from query_service.parameters import Cursor, Limit, Parameters, no_query
from query_service.read_model.demand import Demand
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


async def reply_page(
    call: Call, query: PagedQuery, binding: str, read: Callable[[bytes | None, Demand], Awaitable[Page]]
) -> Reply:
    """The page behind the query's cursor, which is one of the list that `binding` describes."""
    wanted = asked(call)
    after = None if query.cursor is None else read_cursor(binding, query.cursor)
    page = await read(after, wanted.demand)
    next_cursor = None if page.position is None else write_cursor(binding, page.position)
    return page_reply(call, wanted, page.items, next_cursor)
