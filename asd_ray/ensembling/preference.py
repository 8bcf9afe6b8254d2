"""Which ensemble is the final one where no label may decide it: the recipes that use no label, in a fixed order."""

from __future__ import annotations

from asd_ray.ensembling.result import Ensemble

# Names of ensembles; all others come later. The order is that of what they reached on real machines when all labels
# were hidden: docs/criteria.md. Where the first cannot be followed, the next one is the final.
DEFAULT_ORDER = (
    "label_free_top_k",
    "label_free_consensus",
    "label_free_greedy",
    "label_free_best",
    "label_free.mean",
    "label_free.min",
)


def preference(ensemble: Ensemble) -> int:
    """The place in the order; the lowest is the final ensemble."""
    return DEFAULT_ORDER.index(ensemble.name) if ensemble.name in DEFAULT_ORDER else len(DEFAULT_ORDER)
