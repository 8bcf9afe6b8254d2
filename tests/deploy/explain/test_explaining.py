"""A planted fault is found and named; silence, short and normal clips are explained honestly."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from asd_ray.deploy.explain import Explanation, Grid, explain
from asd_ray.deploy.explain.explanation import CLIP_ITSELF, NORMAL_SOUND
from asd_ray.deploy.result import Samples
from asd_ray.errors import AsdRayError

from .conftest import RATE, BandEnergy, Unprofiled, hiss, samples, with_click, with_tone


def peak(explanation: Explanation) -> tuple[float, float]:
    """Hz and seconds at the centre of the map's highest cell."""
    values = explanation.map.values
    band, step = np.unravel_index(int(values.argmax()), values.shape)
    hz, seconds = explanation.map.hz, explanation.map.seconds
    return float(hz[band : band + 2].mean()), float(seconds[step : step + 2].mean())


def test_a_tone_is_found_named_and_taken_away(scorer: BandEnergy) -> None:
    explanation = explain(scorer, with_tone(), "00", name="new.wav")
    hz, seconds = peak(explanation)
    assert 2500 < hz < 4000
    assert 4.0 <= seconds <= 5.0
    (region,) = explanation.regions
    assert region.words == "tonal, about 3.2 kHz, from 4.1 s to 5.0 s"
    assert region.centre_hz == pytest.approx(3200, abs=20)
    assert explanation.decision == "anomaly"
    assert region.score_without < explanation.threshold < explanation.score
    assert explanation.score_without == pytest.approx(region.score_without)
    assert explanation.faithfulness == pytest.approx(1, abs=0.1)
    assert explanation.sentence == (
        f"tonal, about 3.2 kHz, from 4.1 s to 5.0 s; with normal sound there, the score falls from "
        f"{explanation.score:.3g} to {region.score_without:.3g} (threshold {explanation.threshold:.3g})"
    )


def test_a_click_is_found_and_named(scorer: BandEnergy) -> None:
    explanation = explain(scorer, with_click())
    _, seconds = peak(explanation)
    assert 2.25 <= seconds <= 2.75
    region = explanation.regions[0]
    assert region.kind == "impulsive"
    assert region.words.endswith("at 2.53 s") or region.words.endswith("at 2.52 s")
    assert region.score_without < explanation.score


def test_a_tone_over_the_whole_clip_needs_to_know_what_is_normal(scorer: BandEnergy) -> None:
    wave = with_tone(4.0, 440.0, 0.0, 4.0)
    known = explain(scorer, wave)
    assert known.regions[0].words == "tonal, about 440 Hz, over the whole clip"
    assert known.filled_from == NORMAL_SOUND
    unprofiled = Unprofiled([samples(hiss(4.0, seed)) for seed in range(8)])
    blind = explain(unprofiled, wave)
    assert blind.filled_from == CLIP_ITSELF
    assert blind.regions == ()
    given = explain(unprofiled, wave, normal=scorer.normal_profile("00"))
    assert given.filled_from == NORMAL_SOUND
    np.testing.assert_array_equal(given.map.values, known.map.values)


def test_a_missing_sound_is_found_and_called_quieter() -> None:
    """Normal clips hum at 1 kHz; this one stops for a second. Filling restores a part of the hum."""
    hum = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(6 * RATE) / RATE)
    scorer = BandEnergy([samples(hiss(6.0, seed) + hum) for seed in range(8)])
    hum[2 * RATE : 3 * RATE] = 0
    explanation = explain(scorer, samples(hiss(6.0, 50) + hum))
    hz, seconds = peak(explanation)
    assert 700 < hz < 1300
    assert 2 <= seconds <= 3
    region = explanation.regions[0]
    assert region.quieter
    assert region.words.startswith("tonal, about 1.0 kHz, from 2.")
    assert region.words.endswith(", quieter than normal")
    assert region.seconds == pytest.approx((2.0, 3.0), abs=0.15)
    assert region.score_without < explanation.score


def test_two_faults_are_two_regions_and_together_explain_more(scorer: BandEnergy) -> None:
    second = with_tone(8.0, 1500.0, 1.0, 2.0) - samples(hiss(8.0, 99))  # a tone without noise
    explanation = explain(scorer, with_tone(8.0, 5000.0, 5.0, 6.0) + 2 * second)
    assert {region.words.split(",")[1].strip() for region in explanation.regions} >= {"about 1.5 kHz", "about 5.0 kHz"}
    assert explanation.score_without is not None
    assert explanation.score_without < min(region.score_without for region in explanation.regions)
    assert sum(region.share for region in explanation.regions) <= 1


@pytest.mark.parametrize("seed", [60, 61, 62])
def test_nothing_stands_out_of_a_normal_clip(scorer: BandEnergy, seed: int) -> None:
    explanation = explain(scorer, samples(hiss(4.0, seed)))
    assert explanation.regions == ()
    assert explanation.score_without is None
    assert explanation.sentence.startswith("nothing stands out: the score of ")


@pytest.mark.parametrize("seconds", [0.1, 0.13, 0.3, 0.75])
def test_short_clips_are_explained(scorer: BandEnergy, seconds: float) -> None:
    explanation = explain(scorer, with_tone(seconds, 3200, 0.0, seconds))
    assert np.isfinite(explanation.map.values).all()
    assert explanation.map.seconds[-1] == pytest.approx(seconds)
    hz, _ = peak(explanation)
    assert 2500 < hz < 4000


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(2 * RATE, np.int16),
        np.full(2 * RATE, 32767, np.int16),
        np.resize([32767, -32768], RATE).astype(np.int16),
    ],
    ids=["silence", "constant", "full scale"],
)
def test_degenerate_sounds_are_explained(scorer: BandEnergy, wave: Samples) -> None:
    explanation = explain(scorer, wave)
    assert np.isfinite(explanation.map.values).all()
    assert math.isfinite(explanation.score)
    json.dumps(explanation.to_json(), allow_nan=False)


def test_too_short_and_too_long_sounds_are_errors(scorer: BandEnergy) -> None:
    with pytest.raises(AsdRayError, match="too short"):
        explain(scorer, np.zeros(100, np.int16))
    with pytest.raises(AsdRayError, match="lasts 301 s and at most 300 s are explained"):
        explain(scorer, np.zeros(301 * RATE, np.int16))


def test_every_patch_is_scored_once_and_reported(scorer: BandEnergy) -> None:
    reports: list[tuple[int, int]] = []
    before = scorer.scored
    explanation = explain(
        scorer, with_tone(), grid=Grid(4, 1.0), progress=lambda done, total: reports.append((done, total))
    )
    patches = 4 * 11  # cells of half a second
    assert reports[-1] == (patches, patches)
    assert explanation.map.values.shape == (5, 12)
    regions = len(explanation.regions)
    assert scorer.scored - before == 1 + patches + regions + 1


def test_batches_do_not_change_the_map(scorer: BandEnergy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explain(scorer, with_tone(2.0, 3200, 0.5, 1.0))
    monkeypatch.setattr("asd_ray.deploy.explain.occlusion.BATCH_SAMPLES", 1)
    single = explain(scorer, with_tone(2.0, 3200, 0.5, 1.0))
    np.testing.assert_array_equal(single.map.values, whole.map.values)


def test_an_explanation_is_json_and_can_be_moved_in_time(scorer: BandEnergy) -> None:
    explanation = explain(scorer, with_tone(), "00", name="a/new.wav")
    stored = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    assert stored["sentence"] == explanation.sentence
    assert stored["regions"][0]["kind"] == "tonal"
    assert stored["map"]["cells"] == [17, 24]
    assert stored["map"]["bands"] == 16
    later = explanation.later(60.0)
    assert later.regions[0].words == "tonal, about 3.2 kHz, from 64.1 s to 65.0 s"
    assert later.map.seconds[0] == 60
    assert later.score == explanation.score
