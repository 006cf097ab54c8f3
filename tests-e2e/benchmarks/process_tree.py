"""What a process and all its descendants use, as the kernel tells it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stockroom_local import children

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Use:
    """`cpu` in seconds since each has started, those that have ended included; `resident` in bytes.

    Memory that several processes share (a server's buffers) is counted once, where the kernel lets us look.
    """

    cpu: float
    resident: int


def used_by(pid: int) -> Use:
    cpu, resident = 0.0, 0
    for member in children.family(pid):
        try:
            cpu += _cpu(member.pid)
            resident += _resident(member.pid)
        except OSError:
            pass  # it has just ended; its parent has its processor time
    return Use(cpu, resident)


def _cpu(pid: int) -> float:
    """Its own, and that of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / CLOCK_TICKS


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (PermissionError, StopIteration):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
