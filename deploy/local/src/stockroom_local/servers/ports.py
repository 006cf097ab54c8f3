"""Ports on 127.0.0.1 that stay the same from one run to the next."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from stockroom_local.waiting import wait_until

_FIRST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """Remembers, in a file, which port each name got; another is chosen only if somebody else took it meanwhile."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def claim(self, name: str, patience: float = 5.0) -> int:
        """The port of `name`, free now. `patience` (seconds) is how long a predecessor may take to let go of it."""
        known = self._read()
        port = known.get(name)
        if port is not None and wait_until(lambda: is_free(port), patience):
            return port
        fresh = choose(known.values())
        self._write({**known, name: fresh})
        return fresh

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(self._file.read_text())
            return {str(name): int(port) for name, port in content.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # absent, or damaged by a crash: choosing anew is all it takes

    def _write(self, ports: dict[str, int]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(ports, indent=2) + "\n")
        fresh.replace(self._file)


def choose(taken: Iterable[int]) -> int:
    """A free port below those of outgoing connections, so that none of these takes it while a server restarts."""
    avoid = set(taken)
    try:
        last = int(_EPHEMERAL.read_text().split()[0]) - 1
    except (OSError, ValueError, IndexError):
        last = 32_000
    first = _FIRST if last - _FIRST >= 1_000 else 10_000
    for port in random.sample(range(first, max(last, first + 5_000)), 500):
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"no free port between {first} and {last}")
