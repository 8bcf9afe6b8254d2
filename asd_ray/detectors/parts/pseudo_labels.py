"""Pseudo-labels: classes for clips that have no labels to tell them apart, found by clustering how the clips sound.

A machine of DCASE 2024 and later may have one id and no attributes. Its clips are then clustered, and the clusters are
the classes. Published: vector quantisation (arXiv 2508.12230) and Ward clustering (2509.12845) as labels for missing
attributes. Both systems build on pretrained encoders. A family with an encoder can describe each clip by its embedding
(`rows_of`); by default the spectrum is clustered, so that nothing but the sound is needed.

Chosen here: by its spectrum, a clip is described by the mean and standard deviation over time of each band of the
log-mel spectrogram of the DCASE baselines, in dB. The clip's mean level is subtracted from the mean spectrum, because
the gain of a recording says little about the machine. Whatever describes a clip is reduced to its first principal
components. It is not standardised before: a band without sound would count as much as the line of a motor. On the demo
set that lowers the agreement of 8 k-means clusters with the hidden ids (adjusted mutual information) from .83 to .46
for fan and from .79 to .77 for valve. "vq" is a codebook by splitting and refining, after Linde, Buzo, Gray 1980; here
one cell is split at a time, so that a codebook may have any size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classes import Classes, class_names, finest_names
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS
from asd_ray.features._base import must_be

Rows = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
RowsOf = Callable[[ClipSet, Context], Rows]  # [clips, numbers]: what describes each clip

METHODS = ("kmeans", "ward", "vq")
LABELS = ("real", *METHODS)
FALLBACK = "kmeans"  # of labels "real", for a machine that has too few real classes
COMPONENTS = 16  # principal components
RESOLUTION = 1e-3  # dB: hides the rounding of float32, so that equal sound stays equal
DECIMALS = 6  # of a component
STARTS = 10  # of k-means
MOST_ROUNDS = 100  # of refining a codebook


def check_labels(owner: object) -> None:
    """Check the parameters `labels` and `clusters` of a classifier family."""
    must_be(owner, "labels", getattr(owner, "labels", None) in LABELS, f"one of {', '.join(LABELS)}")
    training.check_whole(owner, "clusters", 2)


def spectrum_statistics(clips: ClipSet, context: Context) -> Rows:
    """[clips, 2 · bands]: the mean spectrum without the clip's level, and the standard deviation over time, in dB."""
    features = context.features.get(PRESETS["baseline"].at(context.rate), clips, device=context.device)
    rows = []
    for position in range(len(clips)):
        frames = features.clip(position).astype(np.float64)
        mean = frames.mean(0)
        rows.append(np.concatenate([mean - mean.mean(), frames.std(0)]))
    return np.round(np.array(rows) / RESOLUTION) * RESOLUTION


def training_classes(
    clips: ClipSet,
    context: Context,
    labels: str = "real",
    clusters: int = 8,
    at_least: int = 2,
    rows_of: RowsOf = spectrum_statistics,
) -> tuple[Classes, Tensor]:
    """The classes of training clips, and the class number of each clip.

    With "real" these are the classes of `Classes`. If there are fewer than `at_least`, the method is "kmeans". With the
    name of a method they are the ids and, where the clips of an id differ in them, its attributes; and the clips of an
    id without such attributes are split into `clusters` clusters of what `rows_of` gives, named ``fan/00/~0``. All
    clips equal is an AsdRayError.
    """
    frame = clips.frame
    names = class_names(frame)
    if len(frame) and (labels != "real" or len(set(names)) < at_least):
        names = _split(clips, context, FALLBACK if labels == "real" else labels, clusters, rows_of)
        if len(set(names)) < at_least:
            raise AsdRayError(f"{names[0].rpartition('/')[0]}: {_why_too_few(len(frame))}")
    classes = Classes.from_names(names, at_least)
    return classes, classes.numbers(names)


def why_no_classes(train: pd.DataFrame, at_least: int = 2) -> str:
    """Why `training_classes` would fail for these clips, for a detector's `suits`; "" as far as it would not.

    Without a column `digest` it is unknown whether the clips are equal.
    """
    if len(set(class_names(train))) >= at_least:
        return ""
    differ = len(train) > 1 and ("digest" not in train or train["digest"].nunique() > 1)
    return "" if differ else _why_too_few(len(train))


def _why_too_few(clips: int) -> str:
    number = "all training clips sound the same" if clips > 1 else "there is a single training clip"
    return f"it learns to tell classes of normal clips apart, but {number}; record more"


def _split(clips: ClipSet, context: Context, method: str, clusters: int, rows_of: RowsOf) -> list[str]:
    """The finest real class of each clip, and for those without attributes the number of its cluster."""
    names = np.array(finest_names(clips.frame), dtype=object)
    machine_ids = (clips.frame["machine"] + "/" + clips.frame["id"]).to_numpy(object)
    for machine_id in sorted(set(names[names == machine_ids])):
        own = np.flatnonzero(names == machine_id)
        rows = principal_components(rows_of(clips.take(own), context))
        numbers = clustered(rows, clusters, method, context.seed)
        names[own] = [f"{machine_id}/~{number}" for number in numbers]
    return [str(name) for name in names]


def principal_components(rows: Rows) -> Rows:
    """[clips, components]: the first principal components of the rows, in their unit."""
    centred = rows - rows.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:COMPONENTS]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # the sign of an axis is arbitrary
    components: Rows = np.round(centred @ axes.T, DECIMALS) + 0.0  # equal clips stay equal; no negative zeros
    return components


def clustered(rows: Rows, clusters: int, method: str, seed: int) -> Numbers:
    """[n]: the cluster of each row, numbered in the order in which the clusters appear.

    There are at most as many clusters as different rows, and at least two if two rows differ. The result depends on the
    rows, the method and, for "kmeans", the seed.
    """
    clusters = min(clusters, len(np.unique(rows, axis=0)))
    if clusters < 2:
        return np.zeros(len(rows), np.int64)
    from sklearn.cluster import AgglomerativeClustering, KMeans  # slow to import, and scoring does not need it

    if method == "kmeans":
        found = KMeans(clusters, n_init=STARTS, random_state=seed % 2**32).fit_predict(rows)
    elif method == "ward":
        found = AgglomerativeClustering(clusters, linkage="ward").fit_predict(rows)
    else:
        found = _nearest(rows, codebook(rows, clusters))
    _, first, numbers = np.unique(found, return_index=True, return_inverse=True)
    in_order: Numbers = np.argsort(np.argsort(first))[numbers]
    return in_order


def codebook(rows: Rows, size: int) -> Rows:
    """[size, dimensions]: code vectors by splitting and refining.

    The cell with the largest sum of squared distances is split along its longest axis, one deviation to either side;
    then all codes are moved to the means of their cells until no row changes its cell. If a split leaves no more cells
    than before, the codebook stays smaller than `size`.
    """
    codes: Rows = rows.mean(0, keepdims=True)
    while len(codes) < size:
        cells = _nearest(rows, codes)
        errors = np.array([((rows[cells == k] - codes[k]) ** 2).sum() for k in range(len(codes))])
        worst = int(errors.argmax())
        own = rows[cells == worst] - codes[worst]
        _, values, axes = np.linalg.svd(own, full_matrices=False)
        step = axes[0] * values[0] / np.sqrt(len(own))
        both = np.stack([codes[worst] - step, codes[worst] + step])
        finer = _refined(rows, np.concatenate([np.delete(codes, worst, 0), both]))
        if len(finer) <= len(codes):
            break
        codes = finer
    return codes


def _refined(rows: Rows, codes: Rows) -> Rows:
    """Codes at the means of their cells, by Lloyd's iteration. A code without rows is dropped."""
    cells = _nearest(rows, codes)
    for _ in range(MOST_ROUNDS):
        codes = np.array([rows[cells == k].mean(0) for k in np.unique(cells)], np.float64)
        before, cells = cells, _nearest(rows, codes)
        if np.array_equal(before, cells):
            break
    return codes


def _nearest(rows: Rows, codes: Rows) -> Numbers:
    """The number of the nearest code of each row."""
    squares = (codes**2).sum(1) - 2 * rows @ codes.T
    nearest: Numbers = squares.argmin(1)
    return nearest
