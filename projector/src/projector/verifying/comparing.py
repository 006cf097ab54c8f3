"""What of one moment of Redis is not as the log says. Pure."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from contracts.keys import POSITION_DIGITS, journal_member
from projector.batch import Fact
from projector.verifying.findings import Problem
from projector.verifying.folded import Folded
from projector.verifying.reading import Snapshot

_LAST_POSITION: Final = int(journal_member(0, b""))


def versions(facts: Iterable[Fact], snapshot: Snapshot) -> list[Problem]:
    """Of streams whose events are given to the last; `facts` of a stream are in order."""
    last: dict[str, int] = {}
    missing: dict[str, int] = {}
    for fact in facts:
        recorded = fact.recorded
        stream = recorded.stream_id
        last[stream] = recorded.version
        if recorded.version > snapshot.versions[stream] and not snapshot.may_wait(recorded.partition_key, stream):
            missing.setdefault(stream, recorded.position)
    return [
        version(stream, snapshot.versions[stream], known, missing.get(stream, 0))
        for stream, known in last.items()
        if stream in missing or snapshot.versions[stream] > known
    ]


def version(stream: str, have: int, known: int, missing: int) -> Problem:
    return Problem(f"{stream} is at version {have}, the log at {known}", missing)


def contents(
    folded: Folded, snapshot: Snapshot, documents: Iterable[str], histories: Iterable[str] = ()
) -> list[Problem]:
    """Of the documents and histories that were read: they must be what was folded, and absent if nothing was."""
    problems = [Problem(fault) for fault in folded.faults]
    expected = folded.stored()
    for key in documents:
        found, wanted = snapshot.documents[key], expected.get(key)
        if found != wanted:
            problems.append(Problem(f"{key} {_difference(found, wanted)}"))
    for key in histories:
        if snapshot.histories[key] != (entries := folded.history(key)):
            problems.append(Problem(f"{key} {_disorder(snapshot.histories[key], entries)}"))
    return problems


def position_of_member(member: bytes) -> int:
    """The position of a `journal_member`; -1 of what is none."""
    digits = member[:POSITION_DIGITS]
    return _LAST_POSITION - int(digits) if len(digits) == POSITION_DIGITS and digits.isdigit() else -1


def _difference(found: bytes | None, wanted: bytes | None) -> str:
    if wanted is None:
        return "is there, but by the log it should not be"
    if found is None:
        return "is missing"
    have, should = _body(found), _body(wanted)
    names = [n for n in dict.fromkeys((*should, *have)) if have.get(n, _body) != should.get(n, _body)]
    return f"differs from the log in {', '.join(names) or 'its bytes'}"


def _body(stored: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(stored.partition(b"\n")[2])
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _disorder(found: list[bytes], wanted: list[bytes]) -> str:
    lacking, extra = set(wanted) - set(found), set(found) - set(wanted)
    faults = [
        f"{what} {len(members)} (of position {', '.join(map(str, sorted(map(position_of_member, members))[:5]))})"
        for what, members in (("lacks", lacking), ("has too many:", extra))
        if members
    ]
    return f"differs from the log: {' and '.join(faults) or 'its order is wrong'}"
