"""What a request asks of any answer (by its headers), and answers as clients and caches expect them.

A single document's entity tag is its own: ``"<version>-<hash>"``. A list has no version; its tag is ``"list-<hash>"``,
which If-Match on a command can never mistake for one. See decisions/0004-entity-tags-of-lists.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from urllib.parse import urlencode

from chassis.http import Call, HeaderParameter, Reply
from chassis.prefer import MAX_WAIT, read_preference
from query_service.read_model.demand import DEFAULT_WAIT, NOTHING, Demand, demanded
from query_service.read_model.image import Sendable

_OURS: Final = frozenset((b"if-none-match", b"consistency-token", b"prefer"))
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_JSON: Final = (b"content-type", b"application/json")
_NO_CACHE: Final = (b"cache-control", b"no-cache")
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers ask: what must have been seen, and which entity tags the client holds already."""

    demand: Demand = NOTHING
    if_none_match: str | None = None
    applied: tuple[Header, ...] = ()

    def holds(self, tag: bytes) -> bool:
        """Whether the client has this very answer (weak comparison, RFC 9110)."""
        if self.if_none_match is None:
            return False
        if self.if_none_match.strip() == "*":
            return True
        return tag.decode() in _TAG.findall(self.if_none_match)


_NOTHING_ASKED: Final = Asked()


def asked(call: Call) -> Asked:
    """Reads the headers, once.

    Raises:
        Problem: 400 `invalid-token`.
    """
    for name, _ in call.headers:
        if name in _OURS:
            break
    else:
        return _NOTHING_ASKED
    wait = read_preference(call.header(b"prefer")).wait
    return Asked(
        demanded(call.header(b"consistency-token"), wait),
        call.header(b"if-none-match"),
        () if wait is None else ((b"preference-applied", b"wait=%d" % wait),),
    )


def document_reply(asked: Asked, tag: bytes, body: bytes) -> Reply:
    """A document as it is stored, or 304 where the client holds it."""
    if asked is _NOTHING_ASKED:
        return Reply(200, body, (_JSON, (b"etag", tag), _NO_CACHE))
    headers = ((b"etag", tag), _NO_CACHE, *asked.applied)
    return Reply(304, b"", headers) if asked.holds(tag) else Reply(200, body, (_JSON, *headers))


def list_answer(body: bytes) -> Sendable:
    """A list, ready to send."""
    return b'"list-%s"' % blake2b(body, digest_size=8).hexdigest().encode(), body


def page_answer(call: Call, items: Sequence[bytes], next_cursor: str | None) -> Sendable:
    """A page of documents as they are stored, with a link to the next one."""
    joined = b",".join(items)
    if next_cursor is None:
        return list_answer(b'{"items":[%s],"next_cursor":null}' % joined)
    body = b'{"items":[%s],"next_cursor":"%s"}' % (joined, next_cursor.encode())
    parameters = [(name, value) for name, value in call.query() if name != "cursor"]
    url = f"{call.raw_path}?{urlencode([*parameters, ('cursor', next_cursor)])}"
    return *list_answer(body), f'<{url}>; rel="next"'.encode()


def list_reply(asked: Asked, answer: Sendable) -> Reply:
    """A list, or 304 where the client holds it."""
    tag, body, *link = answer
    headers = ((b"etag", tag), _NO_CACHE, *asked.applied)
    if asked.holds(tag):
        return Reply(304, b"", headers)
    return Reply(200, body, (_JSON, *headers, *((b"link", url) for url in link)))


REQUEST_HEADERS: Final = (
    HeaderParameter(
        "Consistency-Token",
        "Tokens of commands, separated by commas. The answer is from a read model that has seen all of them.",
    ),
    HeaderParameter(
        "Prefer",
        f"`wait=N`: wait up to N seconds (default {DEFAULT_WAIT}, at most {MAX_WAIT}) for what the tokens name.",
    ),
    HeaderParameter("If-None-Match", "Entity tags that the client holds; 304 when one of them is current."),
)

RESPONSE_HEADERS: Final = {
    "ETag": "Changes with the answer; for `If-None-Match`.",
    "Cache-Control": "`no-cache`: to be asked for again with `If-None-Match` before it is used.",
    "Preference-Applied": "`wait=N`, when the request preferred it.",
}
