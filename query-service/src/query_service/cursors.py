"""Cursors: a position in an ordered list, bound to what the list was asked for.

A cursor holds the last row that was looked at, as its index member: sort key and id. Nothing of it belongs to a
generation or to a process, so it never expires. The digest tells cursors of other lists, and texts that are no
cursors at all; it is no secret, because a position gives nobody more than the list does.
"""

import base64
import binascii
from hashlib import blake2b
from typing import Final

from chassis.body import invalid
from chassis.problems import Problem, parameter_error

_FORMAT: Final = b"\x01"
_DIGEST_BYTES: Final = 8


def write_cursor(binding: str, position: bytes) -> str:
    """The cursor for the row at `position` of the list that `binding` describes."""
    raw = _FORMAT + _digest(binding, position) + position
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_cursor(binding: str, cursor: str) -> bytes:
    """The position in a cursor of this very list.

    Raises:
        Problem: 422 that names `cursor`.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refusal() from None
    position = raw[1 + _DIGEST_BYTES :]
    # Compared in its written form too: base64 has several texts for the same bytes.
    if not position or write_cursor(binding, position) != cursor:
        raise _refusal()
    return position


def _digest(binding: str, position: bytes) -> bytes:
    content = binding.encode() + b"\x00" + position
    return blake2b(content, digest_size=_DIGEST_BYTES, person=b"stockroom-cursor").digest()


def _refusal() -> Problem:
    return invalid([parameter_error("cursor", "This is no cursor of this list with these filters and this sort.")])
