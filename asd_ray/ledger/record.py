"""The record of one trial, without its scores, and the hash that identifies it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from asd_ray._json import loads
from asd_ray._names import check_name
from asd_ray._shapes import Anything, DictOf, Fields, Flag, ListOf, Maybe, Number, Scalar, Shape, Text, Whole, fault
from asd_ray.errors import AsdRayError, unknown
from asd_ray.storage.run_layout import check_trial

STATUSES = ("complete", "pruned", "failed")  # best first: a better one is never replaced by a worse one
SOURCES = ("search", "import")
SEARCHED = re.compile(r"[^./\\][^/\\]*")  # of a searched trial, because it names a folder of curves; not of an import
YEARS = range(2000, 3000)  # of `created`, so that hours or `seconds` can be added without an overflow
SHAPES: dict[str, Shape] = {  # of all fields as JSON
    **dict.fromkeys(("trial", "name", "machine", "family", "status", "source"), Text(1000)),
    **dict.fromkeys(("protocol", "variant", "device", "dataset", "data_fingerprint", "front_end"), Text()),
    "number": Whole(),
    "params": DictOf(Scalar()),
    "seed": Whole(-(2**127), 2**127),
    "epochs": Whole(),
    "objective": Maybe(Number()),
    "objective_parts": DictOf(Maybe(Number())),
    "intermediate": DictOf(Maybe(Number()), re.compile("[0-9]{1,9}")),
    "error": Text(math.inf),
    "seconds": Maybe(Number(0, 1e9)),
    "peak_memory_mb": Maybe(Number(0, 1e12)),
    "versions": DictOf(Text()),
    "created": Text(),
    "schema": Whole(),
    "paper": Flag(),
    "machines": ListOf(Text(), least=1),
    "target": Text(),
    "version": Text(),
    "node": Text(),
    "settings": Maybe(
        Fields(
            {
                "fingerprint": Text(),
                "year": Maybe(Whole(0, 9999)),
                "held_out": Maybe(Number()),
                "epochs_cap": Maybe(Whole()),
                "checkpoint": Maybe(Text()),
                "objective": Maybe(Text()),
                "unseen": Maybe(Number()),
            }
        )
    ),
    "extra": DictOf(Anything()),
}
RECORD = Fields(SHAPES, required=("trial", "name", "machine", "family"))
# Version 0.1 stored these fields in `extra`. It also moves them there when it reads a record of a later version.
ONCE_EXTRA = ("paper", "machines", "target", "node", "settings")
EXTRA = Fields({**{name: SHAPES[name] for name in ONCE_EXTRA}, "known_facts": Whole()})


FIXED = "fixed_params"  # in `extra`: the values that the trial's study fixes (--set); such trials are another study
LABELS, NORMAL_ONLY = "labels", "normal-only"  # what the trials of a study are compared by
OBJECTIVES = (LABELS, NORMAL_ONLY)
LAST, ORACLE = "last", "oracle"  # whose scores are kept: the last epoch's, or those of the best epoch by test labels


@dataclass(frozen=True)
class Settings:
    """What all trials of a study share, apart from family and data. Trials with other settings are another study."""

    fingerprint: str = ""  # of the clips of the machine, or of all machines that are trained together
    year: int | None = None
    held_out: float = 0.1
    epochs_cap: int | None = None
    checkpoint: str = LAST
    objective: str = LABELS
    unseen: float = 0.0  # the share of labelled test clips that no choice sees

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Settings:
        """The settings of a record; missing ones have their defaults."""
        return cls(**{one.name: stored[one.name] for one in fields(cls) if stored.get(one.name) is not None})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of one machine. A trial over several machines has one record per machine, with the same name."""

    trial: str  # trial_hash of everything that determines the result
    name: str  # for people: fan-autoencoder-0007; the system's name for an import
    machine: str
    family: str
    number: int = 0  # the lowest free one of its machines and family; most often 0 is the paper's setting
    params: dict[str, Any] = field(default_factory=dict)  # flat: name -> number, text, boolean or None
    seed: int = 0
    status: str = "complete"
    epochs: int = 0
    objective: float | None = None
    objective_parts: dict[str, float] = field(default_factory=dict)
    protocol: str = ""
    variant: str = ""  # the best one, if one was chosen
    intermediate: dict[int, float] = field(default_factory=dict)  # epoch -> value
    error: str = ""
    seconds: float | None = None
    peak_memory_mb: float | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    dataset: str = ""
    data_fingerprint: str = ""
    front_end: str = ""  # hash of the front end
    created: str = field(default_factory=_now)  # UTC, ISO 8601
    source: str = "search"
    schema: int = 1  # of the record
    paper: bool = False  # the paper's setting
    machines: tuple[str, ...] = ()  # all machines that the trial was trained on; by default only its own
    target: str = ""  # package.module:Class
    version: str = ""  # of the family, see asd_ray.families.identity
    node: str = ""  # the computer that ran it
    settings: Settings | None = None  # None for an imported system
    extra: dict[str, Any] = field(default_factory=dict)  # fields of later versions

    def __post_init__(self) -> None:
        object.__setattr__(self, "machines", tuple(self.machines) or (self.machine,))
        check_trial(self.trial)
        check_name("machine", self.machine)
        check_name("family", self.family)
        if self.status not in STATUSES:
            raise unknown("status", self.status, STATUSES)
        if self.source not in SOURCES:
            raise unknown("source", self.source, SOURCES)
        if self.objective is not None and not math.isfinite(self.objective):
            raise AsdRayError(
                f"the objective of trial {self.name} is {self.objective}; a trial without a finite objective is "
                "stored with objective None"
            )
        nested = [key for key, value in self.params.items() if isinstance(value, dict | list | tuple | set)]
        if nested:
            raise AsdRayError(f"the parameter {nested[0]!r} of trial {self.name} is nested; parameters are flat")

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """The fields as strict JSON: a NaN among the intermediate values or parts becomes null."""
        return {one.name: _plain(_stored(getattr(self, one.name))) for one in fields(self)}

    @classmethod
    def from_json(cls, text: str) -> TrialRecord:
        return cls.from_dict(loads(text, "a trial's record"))

    @classmethod
    def from_dict(cls, stored: Any) -> TrialRecord:
        """The record from its JSON. AsdRayError if a field does not have its type and its range.

        Fields that this version does not know are kept in `extra`.
        """
        if problem := fault(RECORD, stored):
            raise AsdRayError(f"the record of a trial is wrong: {problem}")
        extra = {**stored.get("extra", {}), **{key: stored[key] for key in stored if key not in SHAPES}}
        problem = fault(EXTRA, extra, "extra") or _not_a_date(stored.get("created"))
        if problem:
            raise AsdRayError(f"the record of a trial is wrong: {problem}")
        once_extra = {name: extra.pop(name) for name in ONCE_EXTRA if name in extra}
        values = {**once_extra, **{name: stored[name] for name in SHAPES if name in stored}, "extra": extra}
        if values.get("source", "search") == "search" and not SEARCHED.fullmatch(values["name"]):
            raise AsdRayError(f"the name {values['name']!r} of a trial must not start with a dot or contain / or \\")
        if values.get("settings") is not None:
            values["settings"] = Settings.from_dict(values["settings"])
        values["intermediate"] = {int(epoch): _number(value) for epoch, value in values.get("intermediate", {}).items()}
        values["objective_parts"] = {part: _number(value) for part, value in values.get("objective_parts", {}).items()}
        return cls(**values)

    def __str__(self) -> str:
        return f"{self.name} ({self.trial}, machine {self.machine}, family {self.family})"


def trial_hash(**determinants: Any) -> str:
    """The hash of a trial: a letter and 12 hex digits, from canonical JSON of everything that determines the result.

    Without the letter, readers of Parquet, CSV or YAML would take ``00120119`` or ``12e45678`` for a number.
    """
    try:
        text = json.dumps(
            determinants, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True, default=_python
        )
    except (TypeError, ValueError) as error:
        raise AsdRayError(
            f"a trial cannot be identified by {determinants}: {error}; give finite numbers, text, None, lists and "
            "dictionaries of them"
        ) from error
    return "t" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _python(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is not a JSON value")


def _stored(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Settings) else value


def _plain(value: Any) -> Any:
    """`value` as strict JSON."""
    if value is None or isinstance(value, int):  # bool is an int
        return value
    if isinstance(value, str):  # a surrogate, from a file's name that is not UTF-8, becomes "?"
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    raise AsdRayError(f"a trial record holds {value!r} of type {type(value).__name__}; it can hold only JSON values")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _not_a_date(created: str | None) -> str:
    try:
        wrong = created is not None and datetime.fromisoformat(created).year not in YEARS
    except ValueError:
        wrong = True
    return f"created must be a date such as 2026-01-31T12:00:00+00:00 but is {created!r:.60}" if wrong else ""
