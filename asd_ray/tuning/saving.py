"""The state of a trial's detector as bytes, with all that is needed to make the detector again."""

from __future__ import annotations

from typing import Any

from asd_ray.detectors import Detector, Scores
from asd_ray.detectors.state_file import to_bytes
from asd_ray.ledger import long_scores
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
    scores: Scores,
) -> bytes:
    """`params` are those that the detector was made with: a batch may have been halved for want of memory.

    `scores` are those of all clips that the detector gave in this state.
    """
    parts = list(zip(spec.machines, data.parts, data.split_all(scores), strict=True))
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
        "scores": {machine: scores_digest(long_scores(part.frame, own)) for machine, part, own in parts},
        "profiles": {
            machine: {id: profile.to_json() for id, profile in part.profiles.items()} for machine, part, _ in parts
        },
        "versions": versions(),
    }
    return to_bytes(detector.state(), about)
