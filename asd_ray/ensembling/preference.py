"""Which ensemble is the final one where no label may decide it: the recipes that use no label, in a fixed order."""

from __future__ import annotations

from asd_ray.ensembling.result import Ensemble

DEFAULT_ORDER = ("label_free.mean", "label_free.min")  # names of ensembles; all others come later


def preference(ensemble: Ensemble) -> int:
    """The place in the order; the lowest is the final ensemble."""
    return DEFAULT_ORDER.index(ensemble.name) if ensemble.name in DEFAULT_ORDER else len(DEFAULT_ORDER)
