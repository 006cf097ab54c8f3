"""The short run: every fault at least once, on a system of its own."""

from collections.abc import Mapping

import pytest

from chaos.run import Run
from stockroom_local.servers.requirements import Means

SEED = 7


@pytest.mark.timeout(2400)
def test_whatever_breaks_nothing_is_lost_doubled_or_stale(server_means: Mapping[str, Means]) -> None:
    told: list[str] = []

    run = Run(server_means, 0, SEED, told.append)

    assert run.run(), "\n".join(told)
