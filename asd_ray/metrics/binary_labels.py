"""Labels in the form that the metrics need: 0 normal, 1 anomaly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

CODES = {"normal": 0, "anomaly": 1}


def binary(labels: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Labels 0 and 1, or ``normal`` and ``anomaly`` (the words of the clip table), as 0 and 1."""
    values = np.asarray(labels)
    if values.ndim != 1:
        raise AsdRayError(f"labels must be one per clip, in one dimension, but got the shape {values.shape}")
    if values.dtype.kind not in "biuf":
        unlabelled = sorted({str(label) for label in values.tolist() if label not in CODES})
        if unlabelled:
            raise AsdRayError(f"labels must be 'normal' or 'anomaly' (or 0 or 1) but got {unlabelled[0]!r}")
        values = np.array([CODES[label] for label in values.tolist()], dtype=np.int8)
    elif not np.isin(values, (0, 1)).all():
        first = values[~np.isin(values, (0, 1))][0]
        raise AsdRayError(f"labels must be 0 (normal) or 1 (anomaly) but got {first!s}")
    return values.astype(np.int8)


def both_classes(labels: npt.ArrayLike, what: str = "AUC") -> npt.NDArray[np.int8]:
    """`binary` labels. Raises if one of the classes is missing, because `what` is then not defined."""
    values = binary(labels)
    anomalies = int(values.sum())
    if anomalies in (0, len(values)):
        missing = "anomalous" if anomalies == 0 else "normal"
        raise AsdRayError(
            f"{what} needs normal and anomalous clips, but none of the {len(values)} clips is {missing}; "
            "score a set that has both"
        )
    return values
