"""Labels as the metrics need them: 0 normal, 1 anomaly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

NAMES = {"normal": 0, "anomaly": 1}


def binary(labels: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Labels given as 0 and 1, or as ``normal`` and ``anomaly`` (the clip table's words), as 0 and 1."""
    given = np.asarray(labels)
    if given.ndim != 1:
        raise AsdRayError(f"labels must be one a clip, in one dimension, but got the shape {given.shape}")
    if given.dtype.kind not in "biuf":
        unlabelled = sorted({str(label) for label in given.tolist() if label not in NAMES})
        if unlabelled:
            raise AsdRayError(f"labels must be 'normal' or 'anomaly' (or 0 or 1) but got {unlabelled[0]!r}")
        given = np.array([NAMES[label] for label in given.tolist()], dtype=np.int8)
    elif not np.isin(given, (0, 1)).all():
        odd = given[~np.isin(given, (0, 1))][0]
        raise AsdRayError(f"labels must be 0 (normal) or 1 (anomaly) but got {odd!s}")
    return given.astype(np.int8)


def both_classes(labels: npt.ArrayLike, what: str = "AUC") -> npt.NDArray[np.int8]:
    """`binary` labels among which both classes occur; without both, `what` is not defined."""
    made = binary(labels)
    anomalies = int(made.sum())
    if anomalies in (0, len(made)):
        missing = "anomalous" if anomalies == 0 else "normal"
        raise AsdRayError(
            f"{what} needs normal and anomalous clips, but none of the {len(made)} clips is {missing}; "
            "score a set that holds both"
        )
    return made
