"""The clip table: one row a recording, whatever the naming scheme it came from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

TRAIN, TEST, SUPPLEMENTAL = "train", "test", "supplemental"
SPLITS = (TRAIN, TEST, SUPPLEMENTAL)
NORMAL, ANOMALY, UNKNOWN = "normal", "anomaly", "unknown"
LABELS = (NORMAL, ANOMALY, UNKNOWN)
DOMAINS = ("source", "target", "")  # "" where the year has no domains or hides them


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, as its name and place tell.

    `clip` is unique within (machine, split) and is what the ledger, submissions and ensembles join on: the
    official file name (always ``.wav``) in DCASE layouts, the path below the machine's folder elsewhere.
    """

    clip: str
    machine: str
    id: str
    domain: str
    split: str
    label: str
    attributes: str  # JSON object, keys in the order of the file name or the attributes csv
    path: str  # relative to the dataset's root
    size: int
    mtime_ns: int


NAMED = tuple(f.name for f in dataclasses.fields(Clip))
MEASURED = ("rate", "channels", "frames", "seconds")  # what only the file's header tells
COLUMNS = NAMED + MEASURED


@dataclass(frozen=True)
class Problem:
    """Something wrong (or worth knowing) about a dataset: where, what rule it breaks, and the cure."""

    severity: str  # "error": a search cannot use this; "warning": it can, but look; "note": what was decided
    path: str
    rule: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; {self.cure}"


def place_of(root: Path, origin: str | None) -> str:
    """A dataset's folder as people know it: the address without its options where `root` is a mirror of one."""
    return str(root) if origin is None else origin.partition("?")[0]


@dataclass(frozen=True)
class ClipTable:
    """All clips of a dataset, and what was decided or found wrong while naming them."""

    frame: pd.DataFrame  # columns NAMED, and MEASURED once headers were read; sorted by machine, split, clip
    root: Path
    layout: str
    year: int | None  # the DCASE year whose official metric applies, None for mimii and plain folders
    split_seed: int | None  # the seed of a split that we drew ourselves, None where the dataset has its own
    problems: tuple[Problem, ...] = ()
    origin: str | None = None  # the whole s3:// address of which `root` is this node's mirror

    @property
    def place(self) -> str:
        return place_of(self.root, self.origin)

    @property
    def known_as(self) -> str:
        """What the bank knows the dataset by: the same on every node, wherever its mirror lies there."""
        return self.origin or str(self.root)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def machines(self) -> list[str]:
        return sorted(self.frame["machine"].unique())

    def with_frame(self, frame: pd.DataFrame, *problems: Problem) -> ClipTable:
        return dataclasses.replace(self, frame=frame, problems=(*self.problems, *problems))


def frame_of(clips: Iterable[Clip]) -> pd.DataFrame:
    rows = sorted(clips, key=lambda c: (c.machine, SPLITS.index(c.split), c.clip, c.path))
    columns = {name: [getattr(row, name) for row in rows] for name in NAMED}
    return pd.DataFrame(columns).astype({"size": "int64", "mtime_ns": "int64"})


def attributes_text(attributes: Mapping[str, str]) -> str:
    return json.dumps(dict(attributes), ensure_ascii=False)


def read_attributes(text: str) -> dict[str, str]:
    """The attributes of one row of the table, e.g. ``{"car": "B1", "spd": "31V"}``."""
    attributes: dict[str, str] = json.loads(text)
    return attributes
