"""Packing waiting events into broker messages: what is there goes together, nothing waits to be packed."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.envelope import encode_batch
from contracts.topology import MAX_EVENTS_PER_MESSAGE, MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the outbox: `message` is a whole CloudEvent, or a whole command, in JSON."""

    seq: int
    message: str


@dataclass(frozen=True, slots=True)
class Package:
    """One broker message and the rows it stands for."""

    seqs: list[int]
    body: bytes


def pack(rows: Sequence[Row]) -> list[Package]:
    """The rows in their order, up to 100 of them or 256 KiB a message; a larger one goes alone."""
    packages: list[Package] = []
    waiting: list[Row] = []
    size = 1  # the brackets; each event brings one comma, but for the first
    for row in rows:
        length = len(row.message.encode()) + 1
        if waiting and (len(waiting) == MAX_EVENTS_PER_MESSAGE or size + length > MAX_MESSAGE_BYTES):
            packages.append(_package(waiting))
            waiting, size = [], 1
        waiting.append(row)
        size += length
    if waiting:
        packages.append(_package(waiting))
    return packages


def _package(rows: Sequence[Row]) -> Package:
    return Package([row.seq for row in rows], encode_batch(row.message for row in rows))
