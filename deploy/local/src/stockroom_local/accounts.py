"""Which user a server runs as."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stockroom_local.errors import LocalError


@dataclass(frozen=True)
class Account:
    """A user of this machine that we become by dropping root."""

    name: str
    uid: int
    gid: int

    def reaches(self, folder: Path) -> bool:
        """Whether this user can write in `folder`, found by trying as that user."""
        answer = subprocess.run(
            ["test", "-w", str(folder)], user=self.uid, group=self.gid, extra_groups=[], cwd="/", check=False
        )
        return answer.returncode == 0


def unprivileged() -> Account | None:
    """The user for programs that refuse to run as root; None if we aren't root and simply stay who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LocalError(
        "PostgreSQL refuses to run as root, and this machine has neither a user 'postgres' nor 'nobody'.\n"
        "Make one (useradd --system postgres) or run as an ordinary user."
    )


def owner(path: Path) -> Account:
    """The user that `path` belongs to."""
    status = path.stat()
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return Account(name, status.st_uid, status.st_gid)
