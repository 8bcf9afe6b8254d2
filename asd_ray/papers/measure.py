"""The measures of published tables, and how papers average them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asd_ray.errors import AsdRayError

RULES = {  # rule -> in words
    "mean": "arithmetic mean",
    "hmean": "harmonic mean",
    "min": "minimum",
}


def average(rule: str, values: Sequence[float]) -> float:
    """The average of some values by one of `RULES`."""
    from asd_ray.metrics.means import amean, hmean

    functions: dict[str, Callable[[Sequence[float]], float]] = {"mean": amean, "hmean": hmean, "min": min}
    if rule not in functions:
        raise AsdRayError(f"{rule!r} is no rule of averaging; use {', '.join(RULES)}")
    if not values:
        raise AsdRayError(f"the {RULES[rule]} needs at least one value but got none")
    return float(functions[rule](values))


@dataclass(frozen=True)
class Measure:
    """One number per machine, computed from the cells of its ids (sections)."""

    name: str  # as the paper prints it
    cells: tuple[str, ...]  # the cells of each id that enter, as the edition of the dataset names them
    rule: str  # one of `RULES`: how the cells of all ids become one number

    def value(self, cells: Mapping[str, float]) -> float:
        """The measure in per cent, from the cells of one machine, such as ``{"00/auc": 0.9, "00/pauc": 0.8}``."""
        values = [value for name, value in cells.items() if name.rpartition("/")[2] in self.cells]
        if not values:
            raise AsdRayError(f"{self.name} needs the cells {', '.join(self.cells)}, but there are {', '.join(cells)}")
        return 100 * average(self.rule, values)

    def __str__(self) -> str:
        """``mAUC: minimum of AUC over ids``."""
        return f"{self.name}: {RULES[self.rule]} of {', '.join(self.cells).replace('auc', 'AUC')} over ids"


AUC = Measure("AUC", ("auc",), "mean")
PAUC = Measure("pAUC", ("pauc",), "mean")
MAUC = Measure("mAUC", ("auc",), "min")
