"""Thresholds, units and usual scores of a bundle, and calibration with new normal sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray import AsdRayError, Bundle
from asd_ray.deploy import bundle_file
from asd_ray.deploy.model_card import model_card
from asd_ray.ensembling import scores_of
from asd_ray.ensembling.counts import DecisionCounts

from .conftest import SmallRun


def test_decisions_follow_the_threshold(small: SmallRun) -> None:
    bundle = small.load()
    result = bundle.score(small.clips[0])
    assert bundle.with_threshold(result.score - 0.01).score(small.clips[0]).decision == "anomaly"
    assert bundle.with_threshold(result.score).score(small.clips[0]).decision == "normal"
    assert bundle.with_threshold(result.score).score(small.clips[0]).score == result.score


def test_false_alarms_move_the_threshold(small: SmallRun) -> None:
    bundle = small.load()
    few, many = bundle.with_false_alarms(0.01).threshold, bundle.with_false_alarms(0.5).threshold
    normal = bundle.normal_scores("")
    assert few > many
    assert np.mean(normal > many) == pytest.approx(0.5, abs=0.26)
    for share in (0.0, 1.0, -1, 2, float("nan")):
        with pytest.raises(AsdRayError, match="must be above 0 and below 1"):
            bundle.with_false_alarms(share)


def test_the_share_of_normal_clips_below(small: SmallRun) -> None:
    bundle = small.load()
    normal = bundle.normal_scores("00")
    for clip in small.clips:
        result = bundle.score(clip, id="00")
        assert result.share_below == np.mean(normal < result.score)


def test_calibration_with_the_same_clips_changes_nothing(small: SmallRun) -> None:
    """The held-out clips of the search, given as new normal recordings."""
    bundle = small.load()
    stored = scores_of(small.run.ledger, bundle.ensemble)
    split = next(split for split in stored["split"].unique() if split != "test")
    clips = small.data.clips.set_index("clip")
    waves: dict[str, list[Any]] = {}
    for clip, id in stored[stored["split"] == split][["clip", "id"]].itertuples(index=False):
        path = Path(small.data.root) / clips[clips["split"] == "train"].loc[clip, "path"]
        waves.setdefault(id, []).append(soundfile.read(path, dtype="int16")[0])
    again = bundle.recalibrated(waves)
    np.testing.assert_allclose(again.calibration.statistics.centre, bundle.calibration.statistics.centre, rtol=1e-5)
    np.testing.assert_allclose(again.normal_scores(""), bundle.normal_scores(""), rtol=1e-4, atol=1e-5)
    assert again.threshold == pytest.approx(bundle.threshold, abs=1e-2)
    with pytest.raises(AsdRayError, match="give normal recordings"):
        bundle.recalibrated({"00": []})


def test_calibration_in_another_room_moves_units_and_threshold(small: SmallRun) -> None:
    """Sound that is 12 dB quieter is anomalous to the bundle, and normal after calibration with such sound."""
    bundle = small.load()
    normal = [soundfile.read(path, dtype="int16")[0] for path in small.clips if "normal" in path.name]
    quiet = [wave // 4 for wave in normal]
    before = np.mean([result.decision == "anomaly" for result in bundle.score_waves(quiet)])
    after = np.mean([result.decision == "anomaly" for result in bundle.recalibrated({"": quiet}).score_waves(quiet)])
    assert before > 0.7
    assert after < 0.5


def test_calibration_of_one_id_leaves_the_others_alone(small: SmallRun) -> None:
    bundle = small.load()
    quiet = [soundfile.read(path, dtype="int16")[0] // 4 for path in small.clips if "section_00" in path.name]
    changed = bundle.recalibrated({"00": quiet * 2})
    other = next(path for path in small.clips if "section_01" in path.name)
    before, after = bundle.score(other, id="01"), changed.score(other, id="01")
    assert after.score == before.score
    assert changed.score(quiet[0], 16_000, id="00").score != bundle.score(quiet[0], 16_000, id="00").score
    assert "00" in changed.calibration.normal
    assert len(changed.normal_scores("")) == len(quiet * 2) + len(bundle.calibration.normal["01"])


def test_a_calibrated_bundle_is_saved_and_says_so(small: SmallRun, tmp_path: Path) -> None:
    bundle = small.load()
    quiet = [soundfile.read(path, dtype="int16")[0] // 4 for path in small.clips if "normal" in path.name]
    changed = bundle.recalibrated({"": quiet}).with_false_alarms(0.2)
    saved = Bundle.load(changed.save(tmp_path / "b"))
    assert saved.score_waves(quiet) == changed.score_waves(quiet)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "after the ensemble was measured" in card
    assert "80th percentile" in card
    saved.with_threshold(2.5).save(tmp_path / "b")  # over itself
    assert Bundle.load(tmp_path / "b").threshold == 2.5
    assert "A user chose this threshold" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert small.load().threshold == bundle.threshold


def test_the_model_card_has_the_warnings_with_false_alarms_of_its_own_threshold(
    small: SmallRun, tmp_path: Path
) -> None:
    bundle = small.load()
    card = (small.folder / "MODEL_CARD.md").read_text()
    assert card.index("## Before you trust it") < card.index("## Training")
    warnings = bundle.ensemble.warnings
    assert warnings
    for warning in warnings:
        assert (warning.sentence in card) == (warning.name != "false_alarms")
    seconds, normal = bundle.seconds, bundle.normal_scores("")
    assert seconds != 10
    above, of_day = int((normal > bundle.threshold).sum()), f"{86_400 / seconds:,.0f} clips of {seconds:g} s in a day, "
    said = f"False alarms: {above} of {len(normal)} normal clips of this bundle score above the threshold. Of the "
    assert f"{said}{of_day}expect " in card
    bundle.with_threshold(float(normal.max())).save(tmp_path / "b")
    changed = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert f"False alarms: 0 of {len(normal)} normal clips of this bundle score above the threshold. Of the" in changed


@pytest.mark.parametrize("threshold", ["own", "changed"])
def test_the_model_card_counts_test_clips_only_for_the_threshold_that_they_were_decided_by(
    small: SmallRun, tmp_path: Path, threshold: str
) -> None:
    bundle = small.load()
    if threshold == "changed":
        bundle.with_threshold(bundle.threshold + 0.1).save(tmp_path / "b")
        bundle = Bundle.load(tmp_path / "b")
    counted = replace(bundle.ensemble, counts=DecisionCounts("nested", 96, 71, 96, 28))
    card = model_card(bundle_file.read(bundle.folder).facts, counted, bundle.calibration)
    said = "False alarms: 28 of 96 normal test clips score above the threshold (each clip was decided by an ensemble "
    assert (said in card) == (threshold == "own")
    assert ("normal clips of this bundle score above" in card) == (threshold == "changed")
