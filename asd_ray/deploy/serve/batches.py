"""One bundle that scores the sounds of concurrent requests together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor

from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.result import ClipScore
from asd_ray.deploy.scoring import FILES, SoundFile, Unscored, score_together
from asd_ray.deploy.serve._serve import serve
from asd_ray.deploy.serve.refusal import SERVER_ERROR, UNPROCESSABLE, Refusal
from asd_ray.deploy.sound import Sound

WAIT = 0.002  # seconds that the first sound of a batch waits for others
BROKEN = "this sound could not be scored because of an error in the server; its log has the details"
Pair = tuple[SoundFile, Sound]

log = logging.getLogger("ray.serve")


class BatchedBundle:
    """Made in a replica, one per bundle. `pool` has one thread, so that bundles do not compete for the CPUs."""

    def __init__(self, bundle: Bundle, pool: Executor) -> None:
        self.bundle, self._pool = bundle, pool
        self._score = serve.batch(max_batch_size=FILES, batch_wait_timeout_s=WAIT)(self._score_batch)

    async def score(self, sound: Sound, id: str) -> ClipScore:
        """The score of one sound. Refusal if it cannot be scored; the others of its batch are scored then."""
        result = await self._score((SoundFile(sound.name, id), sound))
        if isinstance(result, Unscored):
            raise Refusal(UNPROCESSABLE, result.reason)
        if result is None:
            raise Refusal(SERVER_ERROR, BROKEN)
        return result

    async def _score_batch(self, pairs: list[Pair]) -> list[ClipScore | Unscored | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, _score_each, self.bundle, pairs)


def _score_each(bundle: Bundle, pairs: Sequence[Pair]) -> list[ClipScore | Unscored | None]:
    """The results of a batch; None for a sound that makes a detector fail in a way that nobody foresaw."""
    try:
        return list(score_together(bundle, pairs))
    except Exception:
        if len(pairs) > 1:
            return [result for pair in pairs for result in _score_each(bundle, [pair])]
        log.exception("a sound of %s could not be scored", bundle.machine)
        return [None]
