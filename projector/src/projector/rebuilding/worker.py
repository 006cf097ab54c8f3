"""A process that makes a share of the partitions; ``python -m projector.rebuilding.worker GENERATION TOKEN P,P…``.

Its settings come from the environment. It works under the lease of the rebuild that has started it, and so ends soon
after that has.
"""

import sys
from collections.abc import Sequence
from typing import Final

from chassis import logging, service
from chassis.logging import get_logger
from chassis.settings import load
from chassis.tasks import together
from contracts.keys import READ_MODEL, Generation
from projector.connections import Connections, connect
from projector.healing import Healing
from projector.lease import Lease
from projector.progress import Progress
from projector.rebuilding.course import Course
from projector.rebuilding.paging import Paging
from projector.settings import ProjectorSettings
from projector.store import Store
from projector.walk import PASSING

log = get_logger(__name__)

LEASE: Final = "stockroom:rebuild"
PASSED: Final = 75
"""Exit code of a worker that something has stopped that passes by itself."""


async def work(connections: Connections, generation: Generation, token: str, partitions: Sequence[int]) -> int:
    """The process's exit code, once it has stopped."""
    settings, redis, feed = connections.settings, connections.redis, connections.feed
    guard = (*Lease(redis, LEASE, token).guard, (generation.schema, str(READ_MODEL)))
    try:
        system = await feed.system()
        await connections.discards.refresh()
        course = Course(redis, generation, system.partitions, system.currency)
        store = Store(redis, generation, connections.discards)
        progress = Progress(redis, generation, system.partitions, system.currency)
        healing = Healing(feed, store, progress, settings.batch_events)
        stand = await course.stand()
        paging = Paging(feed, healing, course, guard, settings.batch_events)
        await together(*(paging.run(partition, stand) for partition in partitions))
    except PASSING as error:
        log.warning("rebuild_worker_stopped", reason=f"{type(error).__name__}: {error}")
        return PASSED
    finally:
        await connections.close()
    return 0


def main(arguments: Sequence[str]) -> int:
    generation, token, partitions = arguments
    settings = load(ProjectorSettings)
    logging.configure("projector rebuild", "warning")
    numbers = [int(number) for number in partitions.split(",")]
    return service.run(lambda: work(connect(settings), Generation(int(generation)), token, numbers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
