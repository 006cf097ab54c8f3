"""Making sure that every server can run here: found, installed with apt, or as a container; else one message."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stockroom_local.errors import MissingServers
from stockroom_local.servers.containers import engine_answers
from stockroom_local.servers.requirements import Container, Means, Native, Programs, Requirement

_POLICY = Path("/usr/sbin/policy-rc.d")
_DENY = (
    "#!/bin/sh\n# Stockroom installs servers without starting them; this file goes away when it is done.\nexit 101\n"
)


def obtain(
    requirements: Sequence[Requirement],
    say: Callable[[str], None],
    *,
    throwaway: bool = False,
    machine: "Machine | None" = None,
) -> Mapping[str, Means]:
    """For each requirement's title the means to run it; MissingServers naming all that can't be had.

    Installs with apt only as root on Debian or Ubuntu, and never starts what it installs. `say` is told beforehand.
    Where STOCKROOM_SERVERS is `containers`, all of them are containers, whatever programs are here.
    """
    here = machine or Machine()
    if here.servers == "containers":
        if not here.has_docker():
            raise MissingServers("STOCKROOM_SERVERS is containers, but no Docker engine answers (`docker info`).")
        return {each.title: Container(throwaway) for each in requirements}
    found = {each.title: here.find(each) for each in requirements}
    missing = [each for each in requirements if found[each.title] is None]
    trouble = ""
    if missing and here.can_install():
        say(f"Installing {', '.join(each.package for each in missing)} with apt (not started as system services) ...")
        trouble = here.install([each.package for each in missing])
        found.update({each.title: here.find(each) for each in missing})
        missing = [each for each in missing if found[each.title] is None]
    means: dict[str, Means] = {title: Native(programs) for title, programs in found.items() if programs is not None}
    if missing and here.has_docker():
        say(f"Running {', '.join(each.title for each in missing)} as containers.")
        return {**means, **{each.title: Container(throwaway) for each in missing}}
    if missing:
        raise MissingServers(_message(missing, trouble))
    return means


@dataclass(frozen=True)
class Machine:
    """What this machine offers; a test hands in another one."""

    find: Callable[[Requirement], Programs | None] = field(default=Requirement.find)
    can_install: Callable[[], bool] = field(default=lambda: os.geteuid() == 0 and _is_debian())
    install: Callable[[Sequence[str]], str] = field(default=lambda packages: _apt(packages))
    has_docker: Callable[[], bool] = field(default=engine_answers)
    servers: str = field(default_factory=lambda: os.environ.get("STOCKROOM_SERVERS", ""))


def _message(missing: Sequence[Requirement], trouble: str) -> str:
    lines = [f"Missing on this machine: {', '.join(each.title for each in missing)}. Any one of these helps:"]
    lines.append(f"  - Debian, Ubuntu:  sudo apt-get install {' '.join(each.package for each in missing)}")
    lines.append(
        "    (or run this once as root, which installs them; servers on their standard ports are never touched)"
    )
    lines.append("  - a Docker engine that `docker info` reaches")
    lines.append(f"  - servers of your own, named by {', '.join(each.setting for each in missing)} (make run only)")
    return "\n".join(lines + ([f"apt could not install them:\n{trouble}"] if trouble else []))


def _is_debian() -> bool:
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def _apt(packages: Sequence[str]) -> str:
    """Installs the packages; '' if that worked, else the end of what apt wrote."""
    with services_kept_from_starting(_POLICY):
        return _apt_get("update") or _apt_get("install", "--yes", "--no-install-recommends", *packages)


def _apt_get(*words: str) -> str:
    done = subprocess.run(
        ["apt-get", "-q", *words],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return "" if done.returncode == 0 else "\n".join(f"  {line}" for line in done.stdout.splitlines()[-10:])


@contextmanager
def services_kept_from_starting(policy: Path) -> Iterator[None]:
    """No package starts its service meanwhile: Debian asks `policy` before each start. Afterwards it is as it was."""
    kept = policy.with_name(f"{policy.name}.kept-by-stockroom")
    had_one = kept.exists() or policy.exists()  # one kept by a run that was killed is still the machine's own
    if policy.exists() and not kept.exists():
        policy.rename(kept)
    policy.write_text(_DENY)
    policy.chmod(0o755)
    try:
        yield
    finally:
        if had_one:
            kept.replace(policy)
        else:
            policy.unlink()
