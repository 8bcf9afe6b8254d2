"""Why a family cannot be searched on some clips, as far as that is known before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from asd_ray.clips.hold_out import held_out
from asd_ray.clips.table import NORMAL, SUPPLEMENTAL, TEST, TRAIN, supplemental_kinds
from asd_ray.detectors import Context, Family
from asd_ray.detectors.parts.supplemental import COUNTS
from asd_ray.errors import AsdRayError

Reasons = dict[tuple[tuple[str, ...], str], str]  # (machines, family) of a study -> why it is left out


@dataclass(frozen=True)
class StudyClips:
    """The clips of a study as a trial would get them: the training clips, and the length of the shortest of all.

    Labels of test clips are not read.

    `train.attrs["supplemental"]` is how many supplemental clips of each kind its machines have.
    """

    train: pd.DataFrame
    rate: int
    shortest: int | None  # samples; None before anything is decoded

    @classmethod
    def of(cls, frame: pd.DataFrame, machines: Sequence[str], share: float, rate: int) -> StudyClips:
        """From rows of a clip table, with the column `samples` if it is decoded. `share` of the clips is held out."""
        whole, parts = [], []
        for machine in machines:
            train = frame[(frame["machine"] == machine) & (frame["split"] == TRAIN)]
            train = train[train["label"] == NORMAL].reset_index(drop=True)
            whole.append(train)
            parts.append(train[~held_out(train, share)])
        shortest = None
        if "samples" in frame:
            test = (frame["split"] == TEST) & frame["machine"].isin(machines)
            lengths = pd.concat([frame.loc[test, "samples"], *(part["samples"] for part in whole)])
            shortest = int(lengths.min()) if len(lengths) else None
        train = pd.concat(parts, ignore_index=True)
        supplemental = frame[frame["machine"].isin(machines) & (frame["split"] == SUPPLEMENTAL)]
        train.attrs[COUNTS] = dict(Counter(supplemental_kinds(supplemental)))
        return cls(train, rate, shortest)

    @property
    def supplemental(self) -> dict[str, int]:
        """How many supplemental clips there are of each kind."""
        return dict(self.train.attrs[COUNTS])


def reason_against(family: Family, params: dict[str, Any], rate: int) -> Callable[[StudyClips], str]:
    """Returns a function that says why no trial with these parameters can succeed on some clips, or "".

    It makes one detector and never trains it. An exception other than `AsdRayError` is ignored here: the trial will
    store it with its traceback.
    """
    context, detector, always = Context(rate=rate), None, ""
    try:
        detector = family.detector(context, **params)
        always = _of_rate(detector.front_end.rate, rate)
    except AsdRayError as error:
        always = _in_one_line(error)
    except Exception:
        return lambda clips: ""

    def ask(clips: StudyClips) -> str:
        try:
            return always or _of_lengths(detector, clips) or _own_reason(detector, clips)
        except AsdRayError as error:
            return _in_one_line(error)
        except Exception:
            return ""

    return ask


def reason_against_draws(family: Family, clips: StudyClips) -> Callable[[dict[str, Any]], str]:
    """As `reason_against`, for parameters that a search draws. Only a class with `suits` is asked, once per draw."""

    context, cls = Context(rate=clips.rate), family.detector

    def ask(params: dict[str, Any]) -> str:
        try:
            return _own_reason(cls(context, **params), clips)
        except Exception:  # the trial will store it
            return ""

    return ask if hasattr(cls, "suits") else lambda params: ""


def front_end_of_draws(family: Family, rate: int) -> Callable[[dict[str, Any]], str]:
    """Returns a function from parameters to the hash of the front end, or "" if no detector can be made of them."""

    context, cls = Context(rate=rate), family.detector

    def front_end(params: dict[str, Any]) -> str:
        try:
            return str(cls(context, **params).front_end.hash)
        except Exception:  # the trial will fail and store it
            return ""

    return front_end


def _of_rate(own: int, rate: int) -> str:
    if own == rate:
        return ""
    return (
        f"its front end takes {own} Hz and the clips are decoded at {rate} Hz; search with --rate {own}, or let the "
        "class take PRESETS[…].at(self.context.rate)"
    )


def _of_lengths(detector: Any, clips: StudyClips) -> str:
    if clips.shortest is None or detector.front_end.frames(clips.shortest) >= 1:
        return ""
    return f"the shortest clip, of {clips.shortest} samples, is too short for its front end; remove such clips"


def _own_reason(detector: Any, clips: StudyClips) -> str:
    return _in_one_line(detector.suits(clips.train) or "") if hasattr(detector, "suits") else ""


def _in_one_line(reason: object) -> str:
    return " ".join(str(reason).split())


def reason_lines(reasons: Mapping[tuple[tuple[str, ...], str], str]) -> list[str]:
    """One line per reason, with the families and machines that it applies to."""
    machines: dict[tuple[str, str], list[str]] = {}  # reason, family -> names of studies
    for (group, family), reason in reasons.items():
        machines.setdefault((reason, family), []).append(" with ".join(group))
    families: dict[tuple[str, str], list[str]] = {}  # reason, names of studies -> families
    for (reason, family), names in machines.items():
        families.setdefault((reason, ", ".join(names)), []).append(family)
    return [f"{', '.join(each)} of {names}: {reason}" for (reason, names), each in families.items()]
