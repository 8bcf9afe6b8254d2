"""How well scores tell normal clips with an injected fault from normal ones: it stands in for the metric of labels.

Here are also the names of altered clips in the ledger: with a fault, and halves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.metrics.cells import cells_batch
from asd_ray.metrics.means import hmean

Floats = npt.NDArray[np.float64]
SEPARATOR = "~"  # in the name of a clip with a fault: normal_0001.wav~tone~2
LEAST = 5  # normal clips that an id needs for its own unit


def fault_name(source: str, kind: str, level: int) -> str:
    """The name of the clip that is `source` with a fault of this kind and level."""
    return SEPARATOR.join((source, kind, str(level)))


def crop_name(source: str, half: int) -> str:
    """The name of a half of the clip `source`: 0 for the first, 1 for the second."""
    return SEPARATOR.join((source, "crop", str(half)))


def crop_sources(names: pd.Series) -> npt.NDArray[np.str_]:
    """The clips that halves are of, from their names."""
    return names.str.rsplit(SEPARATOR, n=2).str[0].to_numpy().astype(str)


def crop_halves(names: pd.Series) -> npt.NDArray[np.intp]:
    """0 for first halves, 1 for second ones; from their names."""
    return names.str.rsplit(SEPARATOR, n=1).str[1].to_numpy().astype(np.intp)


def fault_kinds(names: pd.Series) -> npt.NDArray[np.str_]:
    """The kind of each fault, from the names of its clips."""
    return names.str.rsplit(SEPARATOR, n=2).str[1].to_numpy().astype(str)


def fault_levels(names: pd.Series) -> npt.NDArray[np.intp]:
    """The level of each fault, from 0, the weakest; from the names of its clips."""
    return names.str.rsplit(SEPARATOR, n=1).str[1].to_numpy().astype(np.intp)


def fault_values(normal: Floats, normal_clips: pd.DataFrame, faults: Floats, fault_clips: pd.DataFrame) -> Floats:
    """One value in [0, 1] for each row of scores: the median over kinds of fault of the harmonic mean of AUC and pAUC.

    `normal` [rows, clips] are scores of normal clips, `faults` those of clips with a fault; the tables have the columns
    clip and id. All ids are measured together, because one id has too few held-out clips for a pAUC of its own. So the
    scores are first put into units of the id's normal clips: minus their mean, in standard deviations.

    The median, because some kinds say nothing about a detector or mislead: on the demo set the AUC of dropouts falls as
    that of real faults rises, and the mean over kinds follows such kinds. docs/criteria.md has the figures.
    """
    by_kind = _by_kind(normal, normal_clips, faults, fault_clips).values()
    return np.asarray(np.median([hmean(both, axis=1) for both in by_kind], axis=0))


def fault_aucs(
    normal: Floats, normal_clips: pd.DataFrame, faults: Floats, fault_clips: pd.DataFrame
) -> dict[str, Floats]:
    """kind of fault -> the AUC of each row of scores. The arguments and the units are those of `fault_values`."""
    by_kind = _by_kind(normal, normal_clips, faults, fault_clips)
    return {kind: both[:, 0] for kind, both in by_kind.items()}


def _by_kind(
    normal: Floats, normal_clips: pd.DataFrame, faults: Floats, fault_clips: pd.DataFrame
) -> dict[str, Floats]:
    """kind of fault -> [rows, 2]: AUC and pAUC"""
    normal, faults = _in_units(normal, normal_clips["id"], faults, fault_clips["id"])
    kinds = fault_kinds(fault_clips["clip"])
    return {str(kind): _auc_and_pauc(normal, faults[:, kinds == kind]) for kind in sorted(set(kinds))}


def _auc_and_pauc(normal: Floats, faults: Floats) -> Floats:
    """[rows, 2]"""
    count = normal.shape[1], faults.shape[1]
    clips = pd.DataFrame({"id": "", "domain": "", "label": np.repeat(["normal", "anomaly"], count)})
    return cells_batch(clips, np.concatenate([normal, faults], axis=1), None)[1]


def _in_units(normal: Floats, normal_ids: pd.Series, faults: Floats, fault_ids: pd.Series) -> tuple[Floats, Floats]:
    own, other = normal_ids.to_numpy().astype(str), fault_ids.to_numpy().astype(str)
    normal, faults = np.array(normal, np.float64), np.array(faults, np.float64)
    whole = normal.mean(axis=1, keepdims=True), normal.std(axis=1, keepdims=True)
    for id in sorted({*own, *other}):
        part = normal[:, own == id]
        few = part.shape[1] < LEAST
        centre, scale = whole if few else (part.mean(axis=1, keepdims=True), part.std(axis=1, keepdims=True))
        scale = np.where(scale > 0, scale, 1.0)
        faults[:, other == id] = (faults[:, other == id] - centre) / scale
        normal[:, own == id] = (part - centre) / scale
    return normal, faults
