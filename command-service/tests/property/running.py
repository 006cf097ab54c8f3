"""How the tests of this folder run: the same examples each time."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

STABLE: Final = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False
)

SHRINKING_SECONDS: Final = 900
"""A test that fails looks for the smallest trade that makes it fail, for up to 5 minutes."""

TIMES: Final = int(os.environ.get("STOCKROOM_EXAMPLES", "1"))
"""To look longer, by hand: so many times the examples of the tests with faults, and other ones in each run."""


def with_faults(examples: int, steps: int) -> settings:
    """Of a test that drives real servers through `examples` stories of at most `steps` steps."""
    return settings(
        STABLE,
        max_examples=TIMES * examples,
        stateful_step_count=steps,
        derandomize=TIMES == 1,
        print_blob=True,
    )
