"""Write a bundle: an ensemble, the states of its members, and what they were trained on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asd_ray.deploy import bundle_file
from asd_ray.deploy.calibration import Calibration
from asd_ray.deploy.model_card import model_card
from asd_ray.detectors.state_file import from_bytes
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.result import Ensemble, StoredStatistics
from asd_ray.errors import AsdRayError
from asd_ray.families.weights import ENCODERS, needed_encoders

PACKAGES = ("asd_ray", "torch", "torchaudio", "numpy", "scikit-learn", "soxr")
NEEDS = (  # package and least version, of scoring; pyproject.toml has the same, and more
    *("torch>=2.8", "torchaudio>=2.8,<3", "soundfile>=0.13", "soxr>=1.0", "xxhash>=3.4", "numpy>=2.0"),
    *("pandas>=2.2", "pyarrow>=21", "scikit-learn>=1.5", "scipy>=1.13", "rich>=13.7", "threadpoolctl>=3.5"),
    *("safetensors>=0.5", "matplotlib>=3.9"),
)


@dataclass(frozen=True)
class LearnedState:
    """The file of a trial's state, and where it comes from."""

    content: bytes
    origin: str  # a sentence for the model card


def check_bundled(ensemble: Ensemble) -> None:
    """Raise for an ensemble that cannot score one clip alone, or has no scores of normal clips."""
    if ensemble.recipe.by == "test":
        raise AsdRayError(
            f"{ensemble.machine}: {ensemble.name} standardises by the test clips, faults included, so nothing is known "
            "of its scores of normal clips; choose it again with --by held_out, or name another with --recipe"
        )
    if ensemble.combine in TRANSDUCTIVE:
        raise AsdRayError(
            f"{ensemble.machine}: {ensemble.name} combines by ranks among the test clips, so it cannot score one new "
            "clip; name another recipe with --recipe, such as mean or greedy"
        )


def write_bundle(
    out: str | Path,
    ensemble: Ensemble,
    calibration: Calibration,
    states: Mapping[str, LearnedState],
    *,
    refit: bool = False,
) -> Path:
    """Write the folder `out`, all or nothing. `states` has every trial of the ensemble."""
    check_bundled(ensemble)
    members = {member.trial: member for member in ensemble.members}
    where = {trial: f"the state of {member.name}" for trial, member in members.items()}
    about = {trial: from_bytes(states[trial].content, where[trial])[1] for trial in members}
    first = next(iter(about.values()))
    for trial, other in about.items():
        if (other["rate"], other["channel"]) != (first["rate"], first["channel"]):
            raise AsdRayError(
                f"{where[trial]} is for {other['rate']} Hz and channel {other['channel']}, others are not"
            )
    profiles = first["profiles"].get(ensemble.machine, {})
    facts: dict[str, Any] = {
        "format": bundle_file.FORMAT,
        "machine": ensemble.machine,
        "rate": first["rate"],
        "channel": first["channel"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "refit": refit,
        "detectors": [
            {
                "trial": trial,
                "name": members[trial].name,
                "origin": states[trial].origin,
                **{key: own[key] for key in ("family", "target", "version", "front_end", "params", "seed")},
            }
            for trial, own in about.items()
        ],
        "calibration": calibration.to_json(),
        "profiles": profiles,
    }
    if (
        StoredStatistics.of(calibration.statistics) != ensemble.statistics
        or calibration.threshold != ensemble.threshold
    ):
        facts["calibrated"] = facts["created"]
    own_recipe = ensemble.recipe_source
    ensemble = replace(ensemble, recipe_source=own_recipe and Path(own_recipe).name)  # no path of this computer
    return _write(out, facts, ensemble, calibration, {trial: states[trial].content for trial in members})


def write_calibrated(out: str | Path, folder: Path, calibration: Calibration) -> Path:
    """Write a copy of the bundle in `folder` with another calibration. The model card states that it has changed."""
    contents = bundle_file.read(folder)
    calibrated = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {**contents.facts, "calibration": calibration.to_json(), "calibrated": calibrated}
    return _write(out, facts, contents.ensemble, calibration, contents.states)


def _write(
    out: str | Path,
    facts: dict[str, Any],
    ensemble: Ensemble,
    calibration: Calibration,
    states: Mapping[str, bytes],
) -> Path:
    encoders = needed_encoders(detector["params"] for detector in facts["detectors"])
    files = {
        bundle_file.FACTS: bundle_file.as_json(facts),
        bundle_file.ENSEMBLE: bundle_file.ensemble_json(ensemble),
        bundle_file.CARD: model_card(facts, ensemble, calibration).encode(),
        bundle_file.NEEDS: requirements(encoders).encode(),
        **{f"{bundle_file.STATES}/{trial}.safetensors": content for trial, content in states.items()},
    }
    return bundle_file.write(out, files)


def requirements(encoders: Iterable[str]) -> str:
    """The packages that scoring with these encoders of the user takes, as pip reads them."""
    version = importlib.metadata.version("asd_ray")
    lines = [
        f"# What scoring with asd_ray {version} takes, without Ray and Optuna. Then install asd_ray itself:",
        "# pip install --no-deps PATH/TO/asd_ray",
    ]
    of_encoders = {ENCODERS[name.partition(":")[0]] for name in encoders} - {""}
    return "\n".join([*lines, *NEEDS, *sorted(of_encoders)]) + "\n"
