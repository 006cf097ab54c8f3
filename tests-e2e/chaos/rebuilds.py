"""Rebuilds of the read model: alone, when no read may fail, and with everything else going wrong meanwhile."""

import subprocess
from functools import cache
from random import Random
from typing import Final

from chaos.faults import Fault, Skipped, linger
from chaos.shop import Shop
from system import program, wait_for

DROP_SECONDS: Final = 100


def knows(shop: Shop, command: str) -> bool:
    """Whether the projector's command line has this command."""
    return command in _help(shop)


@cache
def _help(shop: Shop) -> str:
    return shop.run("projector", "--help").stdout


def rebuild(shop: Shop, _random: Random) -> str:
    """Not one read may fail."""
    return _rebuild(shop)


def interrupted_rebuild(shop: Shop, random: Random) -> str:
    """It is killed, and a projector and Redis with it; the next call goes on."""
    if not knows(shop, "rebuild"):
        raise Skipped("there is no `projector rebuild`")
    first = subprocess.Popen(
        [program("projector"), "rebuild"],
        env=shop.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        linger(random, 0.5, 4)
    finally:
        first.kill()
        first.wait()
    projector = random.choice(shop.all["projector"])
    projector.kill()
    if random.random() < 0.5:
        shop.servers.redis.kill()
        shop.servers.redis.start()
    projector.start(ready=False)
    return _rebuild(shop)


def _rebuild(shop: Shop) -> str:
    if not knows(shop, "rebuild"):
        raise Skipped("there is no `projector rebuild`")
    before = shop.live_generation()
    done = shop.run("projector", "rebuild")
    assert done.returncode == 0, f"`projector rebuild` failed: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    after = shop.live_generation()
    assert after > before, f"generation {after} is live after a rebuild beside {before}"
    for number in _kept(shop):
        wait_for(f"generation {number} can be dropped", lambda n=number: _drop(shop, n), DROP_SECONDS)  # type: ignore[misc]
    return f"generation {after}"


def _drop(shop: Shop, number: int) -> bool:
    """A projector may still work on it for a moment."""
    return shop.run("projector", "generations", "drop", str(number)).returncode == 0


def _kept(shop: Shop) -> list[int]:
    """Generations that may go: one more stays, to switch back to."""
    known = shop.ask("/generations")["generations"]
    return [one["number"] for one in known if one["status"] == "kept"][:-1]


FAULTS: Final = (
    Fault("rebuild", rebuild, is_excuse=False, is_alone=True),
    Fault("interrupted rebuild", interrupted_rebuild),
)
