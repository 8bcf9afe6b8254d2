"""Families that use supplemental clips keep to the contract with these uses on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asd_ray.conformance import checks as suite
from asd_ray.conformance.checks import Check
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import family
from tests.conformance_setups import WithSupplementalClips

pytestmark = pytest.mark.usefixtures("one_thread")

BY_SCORES: list[Check] = [
    *(suite.check_unequal_lengths, suite.check_variants, suite.check_clips_are_scored_alone, suite.check_seed),
    *(suite.check_scores_while_fitting, suite.check_state, suite.check_labels_are_not_read),
]
SETTINGS: dict[str, dict[str, Any]] = {
    "autoencoder": {"subtract_noise": 1.0, "hidden": 16, "epochs": 1},
    "embedding_knn": {
        **{"noise_mix": 0.5, "supplemental_class": True, "supplemental_bank": True},
        **{"seconds": 0.5, "branches": "fft", "backends": "knn", "epochs": 1},
    },
    "finetuned": {
        **{"noise_mix": 0.5, "supplemental_class": True, "supplemental_bank": True},
        **{"encoder": "ast", "rank": 2, "lr": 0.003, "seconds": 0.5, "backends": "knn", "epochs": 1},
    },
    "id_classifier": {
        **{"supplemental_class": True, "supplemental_bank": True},
        **{"frames": 32, "hop": 16, "backends": "knn", "epochs": 1},
    },
    "pretrained": {"supplemental_bank": True, "encoder": "ast", "pooling": "time", "backends": "knn"},
    "twfr_gmm": {"subtract_noise": 1.0},
}


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workspace]:
    folder: Path = tmp_path_factory.mktemp("supplemental")
    return {
        name: WithSupplementalClips(folder, 1.4 if name == "id_classifier" else 1.0, smaller=settings)
        for name, settings in SETTINGS.items()
        if name != "id_classifier"
    } | {"id_classifier": WithSupplementalClips(folder / "long", 1.4, smaller=SETTINGS["id_classifier"])}


@pytest.mark.parametrize("check", BY_SCORES, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", SETTINGS)
def test_a_family_with_supplemental_clips_keeps_to_the_contract(
    name: str, check: Check, workspaces: dict[str, Workspace]
) -> None:
    check(family(name), workspaces[name])
