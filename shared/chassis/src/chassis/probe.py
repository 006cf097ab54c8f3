"""``python -m chassis.probe``: whether the process in this container can do its work.

Asks ``/health/ready`` on every port that a process here listens on, or on the one that is named; the exit code is 0 if
all of them say 200, and 1 otherwise. A container's health check runs it every few seconds: it imports next to nothing.
"""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SECONDS: Final = 4.0
"""Longer than a process takes for its own checks."""

_LISTENING: Final = "0A"


def ready(port: int, seconds: float = SECONDS) -> bool:
    """Whether ``/health/ready`` on that port of this machine answers 200 in time."""
    request = b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as connection:
            connection.sendall(request)
            status_line = connection.makefile("rb").readline(100)
    except OSError:
        return False
    return status_line.split(b" ")[1:2] == [b"200"]


def listening_ports(processes: Path = Path("/proc")) -> set[int]:
    """The TCP ports on which a process listens that we may look into; a container engine's resolver is none of them."""
    ours = set(_sockets(processes))
    tables = [path for name in ("tcp", "tcp6") if (path := processes / "net" / name).exists()]
    rows = [line.split() for path in tables for line in path.read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING and row[9] in ours}


def _sockets(processes: Path) -> Iterator[str]:
    for process in processes.iterdir():
        if process.name.isdigit():
            # It may be another's, or have ended meanwhile.
            with suppress(OSError):
                yield from _sockets_of(process)


def _sockets_of(process: Path) -> Iterator[str]:
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 where somebody listens and all who do are ready."""
    ports = {int(argument) for argument in arguments} or listening_ports()
    return 0 if ports and all(ready(port) for port in ports) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
