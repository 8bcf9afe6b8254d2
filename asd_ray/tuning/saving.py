"""The state of a trial's detector as bytes, with all that is needed to make the detector again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from asd_ray._precision import full_float32
from asd_ray.detectors import Detector
from asd_ray.detectors.state_file import to_bytes
from asd_ray.ledger.states import scores_digest
from asd_ray.tuning.data import DataSource, TrialData
from asd_ray.tuning.recording import versions
from asd_ray.tuning.spec import TrialSpec


def saved_state(
    detector: Detector,
    spec: TrialSpec,
    params: dict[str, Any],
    source: DataSource,
    data: TrialData,
    tables: Sequence[pd.DataFrame],
) -> bytes:
    """`params` are those that the detector was made with: a batch may have been halved for want of memory.

    `tables` are the scores of each machine's clips that the detector gave in this state.
    """
    about = {
        "trial": spec.hash,
        "name": spec.name,
        "machines": list(spec.machines),
        "family": spec.family,
        "target": spec.target,
        "version": spec.version,
        "params": params,
        "seed": spec.seed,
        "front_end": detector.front_end.hash,
        "rate": source.rate,
        "channel": source.channel,
        "fingerprints": {machine: source.fingerprint(machine) for machine in spec.machines},
        "scores": {machine: scores_digest(table) for machine, table in zip(spec.machines, tables, strict=True)},
        "profiles": {
            machine: {id: profile.to_json() for id, profile in part.profiles.items()}
            for machine, part in zip(spec.machines, data.parts, strict=True)
        },
        "versions": versions(),
    }
    with full_float32():  # it may compute what scores are compared with
        state = detector.state()
    return to_bytes(state, about)
