"""The processes that share the paging, each with partitions of its own."""

import asyncio
import sys
from collections.abc import Sequence

from chassis.tasks import end
from contracts.keys import Generation
from projector.rebuilding.worker import PASSED


class WorkersStopped(Exception):
    """Not all is done: something has stopped a worker that passes by itself."""


async def page(generation: Generation, partitions: Sequence[int], token: str, workers: int) -> None:
    """Has the partitions paged by at most `workers` processes; none runs any more when this ends.

    Raises:
        WorkersStopped: what is done is kept; do it again.
        RuntimeError: a worker has failed.
    """
    shares = [share for share in (partitions[first::workers] for first in range(workers)) if share]
    processes = [await _start(generation, token, share) for share in shares]
    waiting = [asyncio.create_task(process.wait()) for process in processes]
    try:
        codes = await asyncio.gather(*waiting)
    finally:
        await end(*waiting)
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if any(code not in (0, PASSED) for code in codes):
        raise RuntimeError(f"workers of the rebuild ended with {codes}")
    if any(codes):
        raise WorkersStopped("the rest waits for a server")


async def _start(generation: Generation, token: str, share: Sequence[int]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "projector.rebuilding.worker",
        str(generation.number),
        token,
        ",".join(map(str, share)),
        # Ctrl-C is for whoever started it, and ends the workers in order.
        start_new_session=True,
    )
