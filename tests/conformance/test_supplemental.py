"""Families that use supplemental clips keep to the contract with these uses on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray.clips.bank import Bank
from asd_ray.conformance import checks as suite
from asd_ray.conformance.checks import Check
from asd_ray.conformance.workspace import RATE, Workspace
from asd_ray.detectors import family

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
    "id_classifier": {
        **{"supplemental_class": True, "supplemental_bank": True},
        **{"frames": 32, "hop": 16, "backends": "knn", "epochs": 1},
    },
    "twfr_gmm": {"subtract_noise": 1.0},
}


@dataclass
class WithSupplementalClips(Workspace):
    """The workspace of the suite, whose machine has supplemental clips of both kinds."""

    def bank(self, kind: str) -> Bank:
        folder = self.folder / kind / "dev_data" / "fan" / "supplemental"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            draw = np.random.default_rng(7)
            for name in ("machine", "noise"):
                for n in range(2):
                    sound = draw.normal(0, 0.01, RATE // 2)
                    soundfile.write(folder / f"section_00_{name}_{n:04d}_.wav", sound, RATE, subtype="PCM_16")
        bank = super().bank(kind)
        assert len(bank.select(split="train").supplemental) == 4
        return bank


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
