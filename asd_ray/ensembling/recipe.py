"""A recipe: how to choose candidates and combine them. `recipe_file` reads one from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from asd_ray.ensembling import criteria
from asd_ray.ensembling.candidates import BY
from asd_ray.ensembling.combine import WAYS
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError, unknown

BY_CRITERION = ("label_free_best", "label_free_top_k", "label_free_consensus")  # ways that need a criterion's name
LABEL_FREE = ("label_free", *BY_CRITERION, "label_free_greedy")
SELECT = ("best", "slots", "best_per_family", "top_k", "greedy", "smooth_weights", "optuna_weights", *LABEL_FREE)
COMBINED_BY_STEPS = ("mean", "max")  # the ways that greedy selection supports
VARIANTS = ("all", "paper")  # of the papers' settings
MOST = {"k": 10**6, "size": 10**6, "pool": 10**6, "bags": 1000, "trials": 10_000}  # so that choosing ends


def _digits(number: int) -> str:
    """The first digits of a number. Python writes no number of thousands of digits, and TOML has hexadecimal ones."""
    return str(number)[:40] if abs(number) < 10**4000 else "a number of thousands of digits"


@dataclass(frozen=True)
class Slot:
    """Candidates of a family, of some variants and with some parameters. The best `size` of them become members."""

    family: str
    variants: tuple[str, ...] = ()  # empty: all variants
    params: Mapping[str, Any] = field(default_factory=dict)
    size: int = 1  # fewer where there are fewer
    distinct: tuple[str, ...] = ()  # parameters; no two members have the same values of all of these
    paper: bool = False  # only one trial, with its paper's setting; see `slots`

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST["size"]:
            least = "at least 1" if self.size < 1 else f"at most {MOST['size']}"
            raise AsdRayError(f"size of a slot must be {least} but is {_digits(self.size)}")
        if self.distinct and self.size == 1:
            raise AsdRayError("distinct of a slot keeps its members apart, but its size is 1; give it size = 2 or more")

    def __str__(self) -> str:
        conditions = ["its paper's setting"] if self.paper else []
        conditions += [f"{name} {value!r}" for name, value in self.params.items()]
        conditions += [f"variant {' or '.join(self.variants)}"] if self.variants else []
        return self.family + (f" ({', '.join(conditions)})" if conditions else "")

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read an ensemble file's value or a TOML table. An unknown field raises a TypeError."""
        lists = {name: tuple(stored.get(name, ())) for name in ("variants", "distinct")}
        return cls(**{**stored, **lists, "params": dict(stored.get("params", {}))})

    def to_json(self) -> dict[str, Any]:
        stored = asdict(self) | {"variants": list(self.variants), "distinct": list(self.distinct)}
        absent = {"size": 1, "distinct": [], "paper": False}  # as in a recipe's
        return {name: value for name, value in stored.items() if name not in absent or value != absent[name]}


@dataclass(frozen=True)
class Recipe:
    """How to choose and combine. `combine` may name several ways: each gives an ensemble of its own.

    select      what it chooses, and the fields that it reads
    best        the best single candidate (of `slots`, where there are some)
    slots       the best candidate of each of `slots`, or the best `size` of a slot
    best_per_family  the best candidate of each family
    top_k       the `k` best candidates
    greedy      forward selection with replacement: `size`, `pool`, `bags`, `fraction`
    smooth_weights   weights of the `k` best candidates that maximise a smooth form of AUC and pAUC
    optuna_weights   weights of the best candidates of the `k` best trials, by `trials` of Optuna
    label_free  without labels: the paper's setting of each family (or of `slots`), with `variants`
    label_free_best, label_free_top_k   the best candidate, or the best of the `k` best trials, by the `criterion`
    label_free_consensus   the `size` best candidates by the `criterion`, weighted by the 4th power of its value
    label_free_greedy      forward selection by injected faults: `size`, `pool`
    """

    name: str
    select: str
    combine: tuple[str, ...] = ("mean",)
    slots: tuple[Slot, ...] = ()
    k: int = 5
    size: int = 25
    pool: int = 1000
    bags: int = 1
    fraction: float = 0.5
    trials: int = 60
    by: str = "held_out"  # the split whose scores standardise: held_out, train or test
    standardise: Standardiser = field(default_factory=Standardiser)
    criterion: str = ""  # for label_free_best, _top_k and _consensus: a name of the table in `criteria`
    # for label_free: all variants of a trial, the rule of earlier versions, or only the score that its paper reports
    variants: str = "all"

    def __post_init__(self) -> None:
        if self.select not in SELECT:
            raise unknown("way to select", self.select, SELECT)
        if not self.combine:
            raise AsdRayError('combine must name one way or more, such as ["mean", "max"]')
        for how in self.combine:
            if how not in WAYS:
                raise unknown("way to combine", how, WAYS)
            if self.select in ("greedy", "label_free_greedy") and how not in COMBINED_BY_STEPS:
                raise AsdRayError(f"greedy selection combines by {' or '.join(COMBINED_BY_STEPS)} but got {how!r}")
        if self.select in ("smooth_weights", "optuna_weights") and self.combine != ("mean",):
            raise AsdRayError(f'{self.select} finds the weights of a mean: combine = ["mean"]')
        if self.by not in BY:
            raise unknown("split to standardise by", self.by, BY)
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                least = "at least 1" if getattr(self, name) < 1 else f"at most {most}"
                raise AsdRayError(f"{name} must be {least} but got {_digits(getattr(self, name))}")
        if not 0 < self.fraction <= 1:
            raise AsdRayError(f"fraction must be in (0, 1] but got {self.fraction}")
        if self.select in BY_CRITERION:
            criteria.find(self.criterion)
        elif self.criterion:
            raise AsdRayError(f"only {', '.join(BY_CRITERION)} choose by a criterion; remove criterion")
        if self.variants not in VARIANTS:
            raise unknown("choice of variants", self.variants, VARIANTS)
        if self.variants != "all" and self.select != "label_free":
            raise AsdRayError(f'only label_free reads variants, but select is "{self.select}"; remove variants')
        if self.select == "slots" and not self.slots:
            raise AsdRayError('select = "slots" needs [[slots]] with a family each')
        if self.select != "slots" and any(slot.size > 1 for slot in self.slots):
            raise AsdRayError(f'only select = "slots" takes several members of a slot, but it is "{self.select}"')

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the value in an ensemble file. An unknown field raises a TypeError."""
        parts = {
            "combine": tuple(stored["combine"]),
            "slots": tuple(map(Slot.from_json, stored["slots"])),
            "standardise": Standardiser(**stored["standardise"]),
        }
        return cls(**{**stored, **parts})

    def to_json(self) -> dict[str, Any]:
        stored = asdict(self) | {"combine": list(self.combine), "slots": [slot.to_json() for slot in self.slots]}
        absent = {"criterion": "", "variants": "all"}  # files of earlier versions, and their checksums, lack these
        return {name: value for name, value in stored.items() if name not in absent or value != absent[name]}

    @property
    def uses_labels(self) -> bool:
        """Whether it chooses by labels of test clips. The numbers of one that does not are `label_free`."""
        return self.select not in LABEL_FREE

    @property
    def stem(self) -> str:
        """The name of the recipe's file: greedy of greedy.mean."""
        return self.name.partition(".")[0]

    def ways(self) -> list[Recipe]:
        """One recipe for each way to combine; where there are several, each way is part of the name."""
        if len(self.combine) == 1:
            return [self]
        return [replace(self, name=f"{self.name}.{how}", combine=(how,)) for how in self.combine]
