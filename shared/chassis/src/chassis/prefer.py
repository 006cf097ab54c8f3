"""The `Prefer` header (RFC 7240): what a client would like, and may be denied."""

import re
from dataclasses import dataclass
from typing import Final

MAX_WAIT: Final = 30
"""Seconds that anybody may ask us to wait."""

_WAIT: Final = re.compile(r'wait\s*=\s*(?:([0-9]+)|"([0-9]+)")\s*(?:;.*)?', re.IGNORECASE)
_RESPOND_ASYNC: Final = re.compile(r"respond-async\s*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preference:
    """`wait` is in seconds, at most `MAX_WAIT`; None where the header does not say it."""

    respond_async: bool = False
    wait: int | None = None

    def applied(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header `Preference-Applied`, if anything was preferred."""
        said = ["respond-async"] if self.respond_async else []
        if self.wait is not None:
            said.append(f"wait={self.wait}")
        return ((b"preference-applied", ", ".join(said).encode()),) if said else ()


NOTHING_PREFERRED: Final = Preference()


def read_preference(header: str | None) -> Preference:
    """What the header prefers. What can't be read is no preference; the first of several waits counts."""
    if header is None:
        return NOTHING_PREFERRED
    respond_async, wait = False, None
    for part in header.split(","):
        text = part.strip()
        if _RESPOND_ASYNC.fullmatch(text):
            respond_async = True
        elif wait is None and (match := _WAIT.fullmatch(text)):
            digits = match[1] or match[2]
            wait = MAX_WAIT if len(digits) > 4 else min(int(digits), MAX_WAIT)
    return Preference(respond_async, wait)
