"""The scores of every family as its VERSION gives them: a change of scores without a change of VERSION fails here.

After a change that is meant to alter scores: raise VERSION of the family, then write the new scores with
``python -m tests.detectors.test_golden_scores``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import FAMILIES, family

STORED = Path(__file__).with_name("golden_scores.json")
# Of a variant's spread over the clips. Processors round differently, and training amplifies that: to 0.005 at most with
# the instruction sets tried. What changes a method changes scores by far more.
TOLERANCE = 0.03
# Settings that amplify rounding less than those of `calm` do, and which clips are learned from: every third, or all.
STEADY: dict[str, tuple[dict[str, Any], int]] = {
    "ganomaly": ({"lr": 0.01}, 1),
    "id_classifier": ({"net": "resnet50"}, 3),
}


def scores_of(name: str, workspace: Workspace) -> dict[str, Any]:
    """VERSION and the scores of eight clips after one epoch on a few clips."""
    tested, train = family(name), workspace.bank("plain").select(split="train")
    steady, step = STEADY.get(name, ({}, 3))
    small = {**workspace.smaller, **workspace.calm, **steady}
    parameters = {key: value for key, value in {"epochs": 1, **small}.items() if key in tested.parameters}
    detector = tested.detector(workspace.context(), **parameters)
    for _ in detector.fit(train.take(np.arange(0, len(train), step))):
        pass
    scores = detector.score(workspace.bank("plain").select(split="test"))
    return {
        "version": tested.version,
        "scores": {variant: [float(f"{value:.6g}") for value in values] for variant, values in scores.items()},
    }


# The scores of the others are those of a file of weights, and are compared with the package of the file.
WITH_SCORES = [name for name in FAMILIES if not family(name).needs_weights]


@pytest.mark.parametrize("name", WITH_SCORES)
def test_scores_change_only_with_the_version(name: str, workspaces: Callable[[str], Workspace]) -> None:
    stored, now = json.loads(STORED.read_text())[name], scores_of(name, workspaces(name))
    assert now["version"] == stored["version"], "write the scores of the new version, see the top of this file"
    assert list(now["scores"]) == list(stored["scores"])
    for variant, values in stored["scores"].items():
        allowed = TOLERANCE * float(np.ptp(values))
        assert allowed > 0, variant
        difference = float(np.abs(np.array(now["scores"][variant]) - values).max())
        assert difference <= allowed, f"{variant} differs by {difference:g}: raise VERSION of {name} if that is meant"


def test_every_family_without_weights_of_the_user_has_golden_scores() -> None:
    assert list(json.loads(STORED.read_text())) == WITH_SCORES


if __name__ == "__main__":
    from tests.conformance_setups import SETUPS

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        golden = {name: scores_of(name, Workspace(Path(folder) / name, **SETUPS.get(name, {}))) for name in WITH_SCORES}
    STORED.write_text(json.dumps(golden, indent=1) + "\n")
