"""Why a trial failed: by its own fault, which is stored, or by a fault of its node, which is not."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.families.user_code import description
from asd_ray.storage.places import DISK_FULL as FULL

# a fault of the node wherever they are raised: a disk full, broken, read-only or gone; too many open files
BROKEN = {*FULL, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EMFILE, errno.ENFILE}
OURS = "asd_ray"
NODE_WORDS = (  # in a RuntimeError of torch or Python that is not about the trial
    *("busy or unavailable", "no CUDA-capable device", "CUDA driver version is insufficient"),
    *("can't start new thread", "unable to open shared memory object", "Too many open files"),
)
LONGEST = 4000  # characters of a reason


class TrialFailed(Exception):
    """This trial cannot be scored. The message becomes the error of its record."""


class NodeFault(Exception):
    """This node cannot run the trial, another one may: it lacks the data or the run's folder, or its disk is full."""


def reason(error: BaseException) -> str:
    """The error of a record: an exception's text, shortened. One from a user's code comes with its file and line."""
    if not isinstance(error, TrialFailed | NodeFault | AsdRayError):
        return description(error)
    text = str(error)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def is_node_fault(error: BaseException, target: str) -> bool:
    """Whether an exception in a trial of the class `target` is the node's fault and says nothing about the trial.

    That is so for a package that is not installed, for a full or broken disk, and for every file that a shipped
    detector cannot read or write. An OSError of a user's detector may be about its own file, so it fails the trial, and
    so does an ImportError inside the detector's own package.
    """
    own = target.partition(".")[0].partition(":")[0]
    for cause in _causes(error):
        if isinstance(cause, NodeFault | StorageError):
            return True
        if isinstance(cause, ImportError) and (own == OURS or (cause.name or "").partition(".")[0] != own):
            return True
        if isinstance(cause, OSError) and (cause.errno in BROKEN or (own == OURS and cause.errno is not None)):
            return True
        if own == OURS and isinstance(cause, RuntimeError) and any(words in str(cause) for words in NODE_WORDS):
            return True
    return False


def affects_every_trial(error: BaseException) -> bool:
    """Whether a fault keeps the node from running any trial: a full or broken disk, or S3 that does not answer."""
    return any(
        isinstance(cause, StorageError) or (isinstance(cause, OSError) and cause.errno in BROKEN)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
