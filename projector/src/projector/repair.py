"""Makes a generation whole that is not: at the first start, after a flush, when Redis came back with an older state."""

from contextlib import aclosing

from chassis.logging import get_logger
from projector import metrics
from projector.healing import Healing, TooFarBehind
from projector.progress import Progress, Standing
from projector.script import Guard

log = get_logger(__name__)


async def repair(healing: Healing, progress: Progress, standing: Standing, lease: Guard) -> None:
    """Replays the log from the checkpoint and marks the generation whole.

    What was settled when it began is applied then; what came later is in the queues, whose consumers wait for the
    marker. Every step is guarded by the lease, the checkpoint and the server's run id, so that a flush, a restart or
    another leader meanwhile ends the repair without the marker, and the next one begins where the checkpoint is.

    Raises:
        GuardLost, FeedUnavailable, redis.exceptions.RedisError, OSError: as their sources say.
    """
    checkpoint, target = standing.checkpoint, None
    log.warning("repair_begins", generation=progress.generation.number, checkpoint=checkpoint)
    try:
        async with aclosing(healing.replay(checkpoint, lease)) as steps:
            async for done in steps:
                if target is None:
                    target = done.settled
                    metrics.REPAIR_TARGET.set(target)
                if done.position > checkpoint:
                    await progress.move_checkpoint(checkpoint, done.position, done.witness, standing.server, lease)
                    checkpoint = done.position
                    metrics.REPAIR_POSITION.set(checkpoint)
                if checkpoint >= target:
                    break
    except TooFarBehind:
        # The log follows a checkpoint without gaps, unless the state behind the checkpoint is not what it was.
        log.error("checkpoint_is_wrong", checkpoint=checkpoint)
        await progress.move_checkpoint(checkpoint, 0, "", standing.server, lease)
        return
    await progress.mark_whole(checkpoint, standing.server, lease)
    log.info("repair_done", generation=progress.generation.number, checkpoint=checkpoint)
