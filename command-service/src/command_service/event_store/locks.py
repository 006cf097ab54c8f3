"""Advisory locks: what a batch locks, and how the log knows which positions may still be filled.

Two lock spaces of Postgres are used. Names (streams, claims, command ids) are hashed into the space of two 32-bit
keys; two names that share a hash merely wait for each other. Positions use the space of one 64-bit key: before a
transaction draws positions it marks, shared, the last position drawn so far, and every position it draws is greater
than its mark.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from struct import unpack
from typing import Final

MARK_SPACE: Final = 0x5370
"""The upper 16 bits of every position mark; the lower 48 are the position."""

LockKey = tuple[int, int]


def lock_key(name: str) -> LockKey:
    """The two signed 32-bit keys of a name."""
    first, second = unpack(">ii", blake2b(name.encode(), digest_size=8).digest())
    return first, second


def stream_lock(stream_id: str) -> str:
    return f"stream:{stream_id}"


def claim_lock(claim: str) -> str:
    return f"claim:{claim}"


def command_lock(command_id: str) -> str:
    return f"command:{command_id}"


def lane_lock(lane: int) -> str:
    """Held by the relay that publishes this lane of the outbox, for as long as its session lives."""
    return f"relay:{lane}"


def merge(exclusive: Iterable[str], shared: Iterable[str]) -> dict[LockKey, bool]:
    """Every key once, exclusive (True) if anyone needs it so."""
    locks = {lock_key(name): False for name in shared}
    locks.update((lock_key(name), True) for name in exclusive)
    return locks


def begin_and_lock(locks: Mapping[LockKey, bool]) -> str:
    """SQL that begins a transaction, takes the locks and marks the position, in one round trip.

    Locks are taken in key order, whoever takes them: two batches can't deadlock. The mark comes after them, because
    waiting for a lock with an old mark would hold back the settled position for nothing.
    """
    ordered = sorted(locks.items())
    first = ",".join(str(key[0]) for key, _ in ordered)
    second = ",".join(str(key[1]) for key, _ in ordered)
    exclusive = ",".join("true" if is_exclusive else "false" for _, is_exclusive in ordered)
    return f"""
        BEGIN ISOLATION LEVEL READ COMMITTED;
        SELECT CASE WHEN l.exclusive THEN pg_advisory_xact_lock(l.a, l.b)
                    ELSE pg_advisory_xact_lock_shared(l.a, l.b) END
          FROM unnest('{{{first}}}'::int[], '{{{second}}}'::int[], '{{{exclusive}}}'::bool[]) AS l(a, b, exclusive);
        SELECT pg_advisory_xact_lock_shared(
                   ({MARK_SPACE}::bigint << 48) + CASE WHEN is_called THEN last_value ELSE 0 END)
          FROM events_position_seq
    """


DRAWN: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_position_seq"
"""The last position drawn by anyone, committed or not."""

LOWEST_MARK: Final = f"""
SELECT min(((classid::bigint & 65535) << 32) + objid::bigint)
  FROM pg_locks
 WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = {MARK_SPACE}
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The lowest position that a running transaction has marked: it may fill any position behind it. Null: none runs."""
