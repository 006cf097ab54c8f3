"""What a command's HTTP request says beside its body: its id, what it expects, where it comes from."""

import re
from datetime import UTC, datetime
from typing import Final

from chassis import problems
from chassis.http import Call
from chassis.ids import new_id
from chassis.problems import Problem, parameter_error
from command_service.decider import Command
from command_service.envelope import CommandEnvelope, ExpectedVersion, Origin, envelop

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ENTITY_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION_TAG: Final = re.compile(r"(0|[1-9][0-9]{0,9})(-[0-9a-f]{16})?")


def idempotency_key(call: Call) -> str | None:
    """The id that the client gives the command.

    Raises:
        Problem: 400, it is none.
    """
    key = call.header(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        detail = "Idempotency-Key is 1 to 128 visible ASCII characters."
        raise Problem(problems.BAD_REQUEST, detail, members={"errors": [parameter_error("Idempotency-Key", detail)]})
    return key


def origin_of(call: Call) -> Origin:
    traceparent = call.header(b"traceparent")
    return Origin(
        call.correlation_id,
        call.correlation_id,
        datetime.now(UTC),
        traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
    )


def make_envelope(call: Call, command: Command, expected: ExpectedVersion | None) -> CommandEnvelope:
    """The command with its id (the Idempotency-Key, or a new one) and where it comes from."""
    return envelop(command, idempotency_key(call) or new_id(), origin_of(call), expected_version=expected)


def expected_version(call: Call, *, creates: bool) -> ExpectedVersion | None:
    header = call.header(b"if-match")
    if header is None:
        return None
    if creates:
        raise _bad_if_match("If-Match has no meaning where something new is created; leave it out.")
    return parse_if_match(header)


def parse_if_match(header: str) -> ExpectedVersion:
    """What the client expects. Weak tags, and tags that are no version, match nothing.

    Raises:
        Problem: 400, the header is no list of entity tags.
    """
    if header.strip() == "*":
        return ExpectedVersion(None)
    versions = set()
    at = 0
    while True:
        tag = _ENTITY_TAG.match(header, at)
        if tag is None:
            raise _bad_if_match('If-Match is an entity tag such as "3", a list of them, or *.')
        version = _VERSION_TAG.fullmatch(tag[2])
        if version is not None and tag[1] is None:
            versions.add(int(version[1]))
        rest = header[tag.end() :].lstrip(" \t")
        if not rest:
            return ExpectedVersion(frozenset(versions))
        if not rest.startswith(","):
            raise _bad_if_match("The entity tags of If-Match are separated by commas.")
        at = len(header) - len(rest[1:].lstrip(" \t"))


def _bad_if_match(detail: str) -> Problem:
    return Problem(problems.BAD_REQUEST, detail, members={"errors": [parameter_error("If-Match", detail)]})
