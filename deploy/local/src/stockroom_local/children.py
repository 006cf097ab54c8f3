"""Child processes that never outlive this one.

A child is the head of a process group of its own, so that Ctrl-C on the terminal reaches this process alone, which then
stops its children in order. Should this process be killed outright, the kernel sends every child its death signal
(Linux; elsewhere an orphan is possible).
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from stockroom_local.accounts import Account
from stockroom_local.waiting import wait_until

_PR_SET_PDEATHSIG = 1
_FILES = 65_536  # connections are files; the usual limit of 1,024 is too low for a broker
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

Child = subprocess.Popen[bytes]
PIPE = subprocess.PIPE


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[bytes] | int | None,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """A running child that dies with this process.

    Call it from a thread that lives as long as the child may: the kernel ties the death signal to the thread. `output`
    takes both stdout and stderr; None leaves this process's own.
    """
    return subprocess.Popen(
        [str(part) for part in command],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        process_group=0,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # Runs after the change of user, which clears the death signal.
        preexec_fn=_die_with(os.getpid(), death_signal),
    )


def _die_with(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    def in_the_child() -> None:
        if _libc is None:
            return
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit if 0 <= limit < _FILES else _FILES, limit))
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)

    return in_the_child


def stop(child: Child, polite: signal.Signals, seconds: float) -> None:
    """Ends the child and all its descendants: `polite` first, SIGKILL for whatever is left after `seconds`."""
    members = family(child.pid)
    if child.poll() is None:
        child.send_signal(polite)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            members = _merged(members, family(child.pid))
            child.kill()
            child.wait()
    if not wait_until(lambda: not any(map(lives, members)), 5):
        kill_all(members)


def kill(child: Child) -> None:
    """SIGKILL for the child and all its descendants; returns when none is left."""
    members = family(child.pid)
    if child.poll() is None:
        child.kill()
    kill_all(members)
    child.wait()


class Member(NamedTuple):
    """A process, told apart from a later one with the same id by its start time (clock ticks since boot)."""

    pid: int
    started: int


def family(pid: int) -> list[Member]:
    """The process `pid` and its descendants as they are now; nothing where there is no /proc."""
    parents: dict[int, int] = {}
    members: dict[int, Member] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        status = _status(int(entry.name))
        if status is not None:
            parents[int(entry.name)] = status.parent
            members[int(entry.name)] = Member(int(entry.name), status.started)
    chosen = {pid}
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in chosen} - chosen
        chosen |= more
        grown = bool(more)
    return [members[each] for each in chosen if each in members]


class _Status(NamedTuple):
    state: str
    parent: int
    started: int


def _status(pid: int) -> _Status | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return _Status(fields[0], int(fields[1]), int(fields[19]))


def lives(member: Member) -> bool:
    """Whether it still runs; a zombie doesn't."""
    status = _status(member.pid)
    return status is not None and status.started == member.started and status.state not in "ZX"


def kill_all(members: list[Member]) -> None:
    """SIGKILL for those of them that still live; returns when none does."""
    for member in members:
        if lives(member):
            try:
                os.kill(member.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    wait_until(lambda: not any(map(lives, members)), 5)


def _merged(first: list[Member], second: list[Member]) -> list[Member]:
    return list({*first, *second})
