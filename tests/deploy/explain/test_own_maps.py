"""The members' own maps, with trained detectors of two families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.explain import explain
from asd_ray.deploy.explain.own_maps import own_map
from asd_ray.detectors import Context, family
from asd_ray.errors import AsdRayError
from asd_ray.features import DirectFeatures

from .conftest import RATE, BandEnergy, hiss, samples, with_tone

SMALL: dict[str, Any] = {"epochs": 12, "hidden": 16, "batch_size": 64, "lr": 0.01}


@dataclass(frozen=True)
class Member:
    family: str
    detector: Any
    weight: float = 1.0


@dataclass
class Ensemble(BandEnergy):
    """Scores by the energy of bands, and has members with maps."""

    members: Sequence[Member] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        super().__init__([samples(hiss(4.0, seed)) for seed in range(8)])


@pytest.fixture(scope="module")
def members() -> list[Member]:
    bank = WaveBank([samples(hiss(4.0, seed)) for seed in range(6)], machine="fan", rate=RATE, ids=["00"] * 6)
    fitted = []
    for name in ("idnn", "autoencoder"):
        detector: Any = family(name).detector(Context(features=DirectFeatures()), **SMALL)
        for _ in detector.fit(ClipSet(bank, np.arange(6))):
            pass
        fitted.append(Member(name, detector))
    return fitted


def test_the_map_of_two_families_finds_a_tone(members: list[Member], tmp_path: Path) -> None:
    ensemble = Ensemble([*members, Member("autoencoder", members[1].detector)])
    heat_map, families = own_map(ensemble, with_tone(), "00")
    assert families == ("autoencoder", "idnn")
    assert heat_map.values.shape == (128, 6 * RATE // 512 + 1)
    band = int(np.argmin(np.abs(librosa.mel_frequencies(130, fmin=0, fmax=8000)[1:-1] - 3200)))
    assert heat_map.hz[band] < 3200 < heat_map.hz[band + 1]
    tone = slice(round(4.2 * RATE / 512), round(4.9 * RATE / 512))
    assert heat_map.values[:, tone].mean(1).argmax() == pytest.approx(band, abs=1)
    assert (heat_map.seconds[0], heat_map.seconds[-1]) == (0, 6)
    explanation = explain(ensemble, with_tone(), own=True)
    assert explanation.method == "own maps of autoencoder, idnn"
    assert explanation.regions[0].words.startswith("tonal, about 3.2 kHz, from 4.1 s")
    assert explanation.regions[0].score_without < explanation.score
    assert explanation.save_png(tmp_path / "own.png").stat().st_size > 10_000


def test_a_member_counts_by_its_weight(members: list[Member]) -> None:
    idnn, autoencoder = members
    alone, both, mostly = (
        own_map(Ensemble(weighted), with_tone(), "00")[0].values
        for weighted in ([idnn], members, [idnn, Member("autoencoder", autoencoder.detector, 0.0)])
    )
    np.testing.assert_allclose(mostly, alone)
    assert np.abs(both - alone).max() > 1


@pytest.mark.parametrize("wrong", [np.zeros((10, 128)), np.full((6 * RATE // 512 + 1, 128), np.nan), np.zeros(128)])
def test_a_map_of_another_shape_is_an_error(members: list[Member], wrong: np.ndarray) -> None:
    class Mine:
        front_end = members[0].detector.front_end

        def error_map(self, clips: ClipSet) -> list[np.ndarray]:
            return [wrong]

    with pytest.raises(AsdRayError, match="error_map must give finite numbers of shape"):
        own_map(Ensemble([Member("mine", Mine())]), with_tone(), "00")


def test_an_ensemble_without_maps_says_so(scorer: BandEnergy, members: list[Member]) -> None:
    other = Ensemble([Member("stgram", object())])
    with pytest.raises(AsdRayError, match=r"no member has a map of its own \(stgram\)"):
        explain(other, with_tone(), own=True)
    with pytest.raises(AsdRayError, match="a scorer without members"):
        explain(scorer, with_tone(), own=True)
