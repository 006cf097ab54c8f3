"""Looks for stock alerts that the log knows nothing of. Those that are lacking are found with their product."""

from collections.abc import Iterable

from contracts.keys import journal_member
from projector.batch import Fact
from projector.projections import journal
from projector.verifying import comparing
from projector.verifying.findings import Findings
from projector.verifying.ranges import Range
from projector.verifying.reading import Reader, execute, position_of


class Alerts:
    """Compares the alerts of a range of positions with the log's, for one range behind the other."""

    def __init__(self, reader: Reader, partitions: int, findings: Findings) -> None:
        self._redis = reader.redis
        self._key = reader.generation.alerts
        self._applied = [reader.generation.applied(p) for p in range(partitions)]
        self._findings = findings

    async def check(self, part: Range, facts: Iterable[Fact]) -> None:
        # Members begin with positions that are complemented: the last comes first. What is no member comes at the end.
        oldest = b"(" + journal_member(part.after, b"") if part.after else b"+"
        together = self._redis.pipeline(transaction=False)
        together.zrangebylex(self._key, b"[" + journal_member(part.until, b""), oldest)
        (found,) = await execute(together)
        known = {journal.alert_member(f.event, f.recorded) for f in facts if f.event is not None}
        self._tell(member for member in found or () if member not in known)

    async def check_newest(self, until: int) -> None:
        """Looks behind the last range, which ended at `until`, for what can't be there yet."""
        together = self._redis.pipeline(transaction=True)
        together.zrangebylex(self._key, b"-", b"[" + journal_member(until, b""))
        together.mget(self._applied)
        found, applied = await execute(together)
        last = max(map(position_of, applied), default=0)
        self._tell(m for m in found or () if not until < comparing.position_of_member(m) <= last)

    def _tell(self, extra: Iterable[bytes]) -> None:
        for member in extra:
            position = comparing.position_of_member(member)
            self._findings.differs(f"{self._key} has an alert of position {position}, which the log does not have")
