"""Checks that what a detector returns keeps to `asd_ray/detectors/_base.py`. Where one fails, the trial fails."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.detectors import Detector, Progress, Scores
from asd_ray.families.drawing import EPOCHS
from asd_ray.families.user_code import shown
from asd_ray.tuning.faults import TrialFailed

VARIANTS = 1000  # of one trial; AEGAN-AD has 19
LONGEST = 200  # characters of a variant's name
LARGEST = float(np.finfo(np.float32).max)


def front_end_hash(detector: Detector) -> str:
    front_end = detector.front_end
    if not isinstance(getattr(front_end, "hash", None), str):
        kind = type(front_end).__name__
        raise TrialFailed(f"front_end must be a front end of asd_ray.features but is of type {kind}")
    return front_end.hash


def checked_progress(steps: Any) -> Iterator[Progress]:
    """What `fit` yields: rising epochs, with losses that are finite numbers."""
    if not isinstance(steps, Iterable):
        raise TrialFailed(f"fit must yield Progress(epoch, losses) once per epoch but returned {type(steps).__name__}")
    last = 0
    for step in steps:
        if not isinstance(step, Progress):
            raise TrialFailed(
                f"fit must yield Progress(epoch, losses) once per epoch but yielded {type(step).__name__}"
            )
        epoch = _whole(step.epoch)
        if epoch <= last:
            raise TrialFailed(f"fit yielded epoch {shown(epoch)} after epoch {last}; epochs count from 1, each once")
        if epoch > EPOCHS:
            raise TrialFailed(f"fit yielded epoch {shown(epoch)}; epochs count from 1 to {EPOCHS} at most")
        last = epoch
        yield Progress(epoch, _losses(step.losses, epoch))


def _whole(epoch: Any) -> int:
    try:
        return operator.index(epoch)
    except TypeError:
        raise TrialFailed(f"the epoch of Progress must be a whole number but is {shown(epoch)}") from None


def _losses(losses: Any, epoch: int) -> dict[str, float]:
    if not isinstance(losses, dict):
        raise TrialFailed(f"the losses of Progress must be a dictionary name -> number but are {shown(losses)}")
    numbers = {}
    for name, loss in losses.items():
        try:
            number = float(loss)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TrialFailed(
                f"its loss {shown(name)} is {shown(loss)} after epoch {epoch}, which is not a number"
            ) from None
        if not math.isfinite(number):
            raise TrialFailed(f"its loss {shown(name)} is {number} after epoch {epoch}; a lower lr may help")
        numbers[str(name)] = number
    return numbers


def checked_scores(scores: Any, clips: int) -> Scores:
    """What `score` returns for so many clips: one finite number per clip and variant, within the range of float32."""
    if not isinstance(scores, dict):
        raise TrialFailed(f"score must return a dictionary variant -> scores but returned {type(scores).__name__}")
    if not scores:
        raise TrialFailed("score returned no variant; return {name: scores}")
    if len(scores) > VARIANTS:
        raise TrialFailed(f"score returned {len(scores)} variants; at most {VARIANTS} can be stored")
    return {_variant(name): _values(name, values, clips) for name, values in scores.items()}


def _variant(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST or not _is_unicode(name):
        raise TrialFailed(f"the name of a variant must be text of 1 to {LONGEST} characters but is {shown(name)}")
    return name


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _values(name: str, scores: Any, clips: int) -> npt.NDArray[Any]:
    try:
        values = np.asarray(scores.detach().cpu() if hasattr(scores, "detach") else scores)
    except Exception as error:  # a ragged list, or an object that only looks like an array
        raise TrialFailed(f"scores of variant {name!r} are not an array ({type(error).__name__}: {error})") from error
    if values.shape != (clips,):
        raise TrialFailed(
            f"variant {name!r} has scores of shape {values.shape} for {clips} clips; a detector returns exactly "
            "one score per clip"
        )
    if values.dtype.kind not in "biuf":
        raise TrialFailed(f"scores of variant {name!r} are of type {values.dtype}; return floats")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise TrialFailed(f"{bad} of {clips} scores of variant {name!r} are not finite")
    beyond = int((np.abs(values.astype(np.float64)) > LARGEST).sum())
    if beyond:
        raise TrialFailed(
            f"{beyond} of {clips} scores of variant {name!r} exceed the range of float32, in which scores are stored"
        )
    return values
