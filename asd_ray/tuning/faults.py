"""Whose fault it is that a trial did not end well: the trial's own, which is stored, or the node's, which is not."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.families.user_code import description
from asd_ray.storage.places import DISK_FULL as FULL

# wherever they are raised: a full or broken disk, one mounted read-only or gone, no more open files
BROKEN = {*FULL, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EMFILE, errno.ENFILE}
OURS = "asd_ray"
NODES_WORDS = (  # in a RuntimeError of torch, or of Python, that says nothing about the trial
    *("busy or unavailable", "no CUDA-capable device", "CUDA driver version is insufficient"),
    *("can't start new thread", "unable to open shared memory object", "Too many open files"),
)
LONGEST = 4000  # characters of a reason


class TrialFailed(Exception):
    """This trial cannot be scored: the message is its record's error."""


class NodeFault(Exception):
    """This node cannot run the trial, another may: it lacks the data or the run's folder, or its disk is full."""


def reason(error: BaseException) -> str:
    """What a record says of an exception, cut short; a user's own comes with its file and line."""
    if not isinstance(error, TrialFailed | NodeFault | AsdRayError):
        return description(error)
    text = str(error)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def is_node_fault(error: BaseException, target: str) -> bool:
    """Whether an exception that a trial of the class `target` raised says nothing about the trial.

    So it is for a package that is not installed, a disk that is full or broken, and whatever the detectors that ship
    with asd_ray cannot read or write. A user's detector may raise an OSError over a file of its own: that is its
    trial's failure, and so is an ImportError within its own package.
    """
    own = target.partition(".")[0].partition(":")[0]
    for each in _causes(error):
        if isinstance(each, NodeFault | StorageError):
            return True
        if isinstance(each, ImportError) and (own == OURS or (each.name or "").partition(".")[0] != own):
            return True
        if isinstance(each, OSError) and (each.errno in BROKEN or (own == OURS and each.errno is not None)):
            return True
        if own == OURS and isinstance(each, RuntimeError) and any(words in str(each) for words in NODES_WORDS):
            return True
    return False


def affects_every_trial(error: BaseException) -> bool:
    """Whether what kept a node from running a trial keeps it from all: a full or broken disk, S3 that is away."""
    return any(
        isinstance(each, StorageError) or (isinstance(each, OSError) and each.errno in BROKEN)
        for each in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
