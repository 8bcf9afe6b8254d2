"""What is known against a family before anything is trained: its front end's rate, and what it says of the clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from asd_ray.clips.hold_out import held_out
from asd_ray.clips.table import NORMAL, TEST, TRAIN
from asd_ray.detectors import Context, Family
from asd_ray.errors import AsdRayError

Reasons = dict[tuple[tuple[str, ...], str], str]  # machines of a study, name of its family -> why it is left out


@dataclass(frozen=True)
class StudyClips:
    """The clips of a study, as a trial would get them: those to learn from, and how short the shortest of all is."""

    train: pd.DataFrame
    rate: int
    shortest: int | None  # samples; None before anything is decoded

    @classmethod
    def of(cls, frame: pd.DataFrame, machines: Sequence[str], share: float, rate: int) -> StudyClips:
        """Of a clip table, which has the column `samples` once it is decoded; `share` is held out."""
        parts = []
        for machine in machines:
            own = frame["machine"] == machine
            train = frame[own & (frame["split"] == TRAIN) & (frame["label"] == NORMAL)].reset_index(drop=True)
            parts.append(train[~held_out(train, share)])
        shortest = None
        if "samples" in frame:
            read = (frame["split"] == TEST) | ((frame["split"] == TRAIN) & (frame["label"] == NORMAL))
            lengths = frame.loc[read & frame["machine"].isin(machines), "samples"]
            shortest = int(lengths.min()) if len(lengths) else None
        return cls(pd.concat(parts, ignore_index=True), rate, shortest)


def against(family: Family, params: dict[str, Any], rate: int) -> Callable[[StudyClips], str]:
    """Asks why no trial with these parameters could succeed on some clips; "" where nothing is known against it.

    One detector is made, and never trained. An exception other than `AsdRayError` says nothing here: a trial stores it
    with its traceback.
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
            return always or _of_lengths(detector, clips) or _said(detector, clips)
        except AsdRayError as error:
            return _in_one_line(error)
        except Exception:
            return ""

    return ask


def against_draws(family: Family, clips: StudyClips) -> Callable[[dict[str, Any]], str]:
    """As `against` for what a search draws; only a class that has `suits` is asked, once for each draw."""

    def ask(params: dict[str, Any]) -> str:
        try:
            return _said(family.detector(Context(rate=clips.rate), **params), clips)
        except Exception:  # a trial says it
            return ""

    return ask if hasattr(family.detector, "suits") else lambda params: ""


def front_end_of_draws(family: Family, rate: int) -> Callable[[dict[str, Any]], str]:
    """The hash of a detector's front end by its parameters; "" where no detector can be made of them."""

    def front_end(params: dict[str, Any]) -> str:
        try:
            return str(family.detector(Context(rate=rate), **params).front_end.hash)
        except Exception:  # the trial will fail with it, and say it
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


def _said(detector: Any, clips: StudyClips) -> str:
    return _in_one_line(detector.suits(clips.train) or "") if hasattr(detector, "suits") else ""


def _in_one_line(reason: object) -> str:
    return " ".join(str(reason).split())


def reason_lines(reasons: Mapping[tuple[tuple[str, ...], str], str]) -> list[str]:
    """A line for each reason: the families that it is said of, and the machines that they do not suit."""
    machines: dict[tuple[str, str], list[str]] = {}  # reason, family -> names of studies
    for (group, family), reason in reasons.items():
        machines.setdefault((reason, family), []).append(" with ".join(group))
    families: dict[tuple[str, str], list[str]] = {}  # reason, names of studies -> families
    for (reason, family), names in machines.items():
        families.setdefault((reason, ", ".join(names)), []).append(family)
    return [f"{', '.join(each)} of {names}: {reason}" for (reason, names), each in families.items()]
