"""The clip table: one row per recording, the same columns for every naming scheme."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

TRAIN, TEST, SUPPLEMENTAL = "train", "test", "supplemental"
SPLITS = (TRAIN, TEST, SUPPLEMENTAL)
NORMAL, ANOMALY, UNKNOWN = "normal", "anomaly", "unknown"
LABELS = (NORMAL, ANOMALY, UNKNOWN)
CLEAN, NOISE = "machine", "noise"  # kinds of supplemental clips: the machine without noise, noise without the machine
KIND = "supplemental"  # the attribute that names the kind
DOMAINS = ("source", "target", "")  # "" if the year has no domains or hides them


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, as described by its file name and folder.

    `clip` is unique within (machine, split). The ledger, submissions and ensembles join on it. In DCASE layouts it is
    the official file name (always ``.wav``), in other layouts the path below the machine's folder.
    """

    clip: str
    machine: str
    id: str
    domain: str
    split: str
    label: str
    attributes: str  # a JSON object; keys in the order of the file name or of the attributes csv
    path: str  # relative to the dataset's root
    size: int
    mtime_ns: int


NAMED = tuple(f.name for f in dataclasses.fields(Clip))
MEASURED = ("rate", "channels", "frames", "seconds")  # read from the file's header
COLUMNS = NAMED + MEASURED

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Problem:
    """Something wrong (or worth knowing) about a dataset: where it is, which rule it breaks, and the cure."""

    severity: str  # "error": a search cannot use this; "warning": it can, but look at it; "note": a decision
    path: str
    rule: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; {self.cure}"


def left_out(problem: Problem) -> Problem:
    """The warning in place of the error about a clip that ``--skip-broken`` leaves out."""
    return dataclasses.replace(problem, severity=WARNING, rule=f"left out: {problem.rule}")


def by_severity(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """The problems of each severity, worst first; their order is kept."""
    groups: dict[str, list[Problem]] = {severity: [] for severity in SEVERITIES}
    for problem in problems:
        groups[problem.severity].append(problem)
    return groups


def examples(paths: Sequence[str], shown: int = 1) -> str:
    """The first paths of many, for a message: ``a.wav and 3 more``."""
    more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
    return ", ".join(paths[:shown]) + more


def place_of(root: Path, origin: str | None) -> str:
    """The dataset's folder for messages: the s3:// address without its options, if `root` is a mirror of one."""
    return str(root) if origin is None else origin.partition("?")[0]


@dataclass(frozen=True)
class ClipTable:
    """All clips of a dataset, and the decisions and problems of naming them. `scan` makes it."""

    frame: pd.DataFrame  # columns NAMED, and MEASURED once headers were read; sorted by machine, split, clip
    root: Path
    layout: str
    year: int | None  # the DCASE year whose official metric applies, None for mimii and plain folders
    split_seed: int | None  # the seed of a split that asd_ray drew, None if the dataset has its own
    problems: tuple[Problem, ...] = ()
    origin: str | None = None  # the full s3:// address, if `root` is this node's mirror of one

    @property
    def place(self) -> str:
        return place_of(self.root, self.origin)

    @property
    def known_as(self) -> str:
        """The dataset's name in the bank's keys: equal on every node, although each has its own mirror."""
        return self.origin or str(self.root)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def machines(self) -> list[str]:
        return sorted(self.frame["machine"].unique())

    def of_machines(self, machines: Sequence[str]) -> ClipTable:
        return self.with_frame(self.frame[self.frame["machine"].isin(machines)].reset_index(drop=True))

    def with_frame(self, frame: pd.DataFrame, *problems: Problem) -> ClipTable:
        """This table with other rows, and `problems` in addition to its own."""
        return dataclasses.replace(self, frame=frame, problems=(*self.problems, *problems))


def frame_of(clips: Iterable[Clip]) -> pd.DataFrame:
    """The rows of a clip table, in its order."""
    rows = sorted(clips, key=lambda c: (c.machine, SPLITS.index(c.split), c.clip, c.path))
    columns = {name: [getattr(row, name) for row in rows] for name in NAMED}
    return pd.DataFrame(columns).astype({"size": "int64", "mtime_ns": "int64"})


def supplemental_kinds(frame: pd.DataFrame) -> list[str]:
    """The kind of each supplemental clip, by its attribute: CLEAN or NOISE; "" for any other clip."""
    return [
        str(json.loads(attributes).get(KIND, "")) if split == SUPPLEMENTAL else ""
        for attributes, split in zip(frame["attributes"], frame["split"], strict=True)
    ]


def attributes_text(attributes: Mapping[str, str]) -> str:
    return json.dumps(dict(attributes), ensure_ascii=False)
