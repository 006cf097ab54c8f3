"""One run for one home folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stockroom_local.errors import HomeInUse, LocalError


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Holds `home` (made if absent) for this process; HomeInUse at once if another run has it.

    The lock is the kernel's and ends with the process, however that ends: a file left behind means nothing.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "lock").open("a+")
    except OSError as error:
        raise LocalError(
            f"{home} can't be written ({error.strerror}).\nSet STOCKROOM_HOME to a folder that belongs to you."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise HomeInUse(
                f"{home} is in use by another run (process {holder}).\n"
                "Stop that one, or set STOCKROOM_HOME and the STOCKROOM_*_PORT variables to run another beside it."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
