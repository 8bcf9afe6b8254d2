"""Members whose scores of held-out clips lie far from those of training clips: they fit training clips too closely.

Measured by the share of pairs in which the held-out clip scores higher than a training clip of the same id, 0.5 where
the two are alike. Domains and takes differ a little between the two in good detectors as well, hence the limit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics import auc_batch

NAME = "far_from_training"
FAR = 0.75  # share of pairs
LEAST = 5  # clips of an id that count, of each split
LEAST_ALL = 10  # held-out clips of the machine
SHOWN = 3
CONSEQUENCES = {  # where the threshold comes from -> what follows
    "train": "The threshold comes from training clips, so expect more false alarms than it promises.",
    "held_out": "The threshold comes from held-out clips and allows for that; more training clips would help.",
    "test": "More training clips would help.",
}


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    training = members.of_split("train")
    held_out = members.of_split("held_out") if training is not None else None
    if training is None or held_out is None:
        return
    shares = higher_shares(training, held_out)
    far = [] if shares is None else np.flatnonzero(shares >= FAR).tolist()
    if shares is None or not far:
        return
    names = ", ".join(f"{members.label(row)} ({100 * shares[row]:.0f} %)" for row in far[:SHOWN])
    more = f" and {len(far) - SHOWN} more" if len(far) > SHOWN else ""
    source = ensemble.threshold.source or ensemble.recipe.by
    yield TrustWarning(
        NAME,
        f"Held-out normal clips score above training clips in most pairs of {names}{more}; 50 % would be alike. "
        f"Such a member fits its training clips better than other normal clips. {CONSEQUENCES[source]}",
        {"members": len(far), "highest": float(shares.max())},
    )


def higher_shares(
    training: tuple[pd.DataFrame, npt.NDArray[np.float64]], held_out: tuple[pd.DataFrame, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64] | None:
    """The share of pairs in which the held-out clip scores higher, per member: the mean over ids, by held-out clips.

    None where there are too few clips.
    """
    parts, counts = [], []
    ids, held_out_ids = training[0]["id"].to_numpy(), held_out[0]["id"].to_numpy()
    for id in sorted(set(held_out_ids.tolist())):
        old, new = training[1][:, ids == id], held_out[1][:, held_out_ids == id]
        if min(old.shape[1], new.shape[1]) >= LEAST:
            labels = np.repeat([0, 1], [old.shape[1], new.shape[1]])
            parts.append(auc_batch(labels, np.concatenate([old, new], axis=1)))
            counts.append(new.shape[1])
    return np.average(parts, axis=0, weights=counts) if sum(counts) >= LEAST_ALL else None
