"""The benchmarks of settings: what they measure, and the table they print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asd_ray import Dataset
from asd_ray.clips.bank import Bank
from asd_ray.clips.demo import make_demo
from asd_ray.detectors import Context
from asd_ray.families import family
from asd_ray.metrics import auc, hmean, pauc
from benchmarks._settings import Setting, markdown, measured
from benchmarks.bench_additions import ADDITIONS, WITH_ENCODER, main, settings
from tests.tiny_encoders import save_tiny


def by_hand(bank: Bank) -> float:
    """The paper's TWFR-GMM of seed 0: of each id the AUC of either domain's normal clips, and the pAUC of all."""
    known = family("twfr_gmm")
    detector = known.detector(Context(), **known.search_space().paper)
    for _ in detector.fit(bank.select("fan", split="train")):
        pass
    cells = []
    for id in ("00", "01", "02", "03"):
        test = bank.select("fan", split="test", id=id)
        labels = (test.frame["label"] == "anomaly").to_numpy()
        scores = np.asarray(detector.score(test)["gmm"], np.float64)
        own = [(test.frame["domain"] == domain).to_numpy() | labels for domain in ("source", "target")]
        cells += [*(auc(labels[of], scores[of]) for of in own), pauc(labels, scores)]
    return float(hmean(cells))


def test_a_setting_is_measured_on_the_test_clips_of_each_id(tmp_path: Path) -> None:
    bank = Dataset(make_demo(tmp_path / "demo", size="tiny", machines=["fan"]), cache=str(tmp_path / "cache")).bank()
    frame = measured({"demo": bank}, [("demo", "fan")], [Setting("the paper's", "twfr_gmm", {}, "gmm")], seeds=2)
    assert frame[["name", "place", "seed"]].to_numpy().tolist() == [["the paper's", "demo fan", n] for n in (0, 1)]
    assert frame["value"][0] == pytest.approx(by_hand(bank), abs=1e-9)
    least, mean = frame["value"].min(), frame["value"].mean()
    assert list(markdown(frame)) == [
        "| setting | demo fan | mean |",
        "|---|---|---|",
        f"| the paper's | {mean:.3f} ({least:.3f}) | {mean:.3f} |",
    ]


def test_every_addition_is_a_setting_of_the_family() -> None:
    for setting in settings(epochs=1, batch_size=8, seconds=2.0):
        known = family(setting.family)
        detector = known.detector(Context(), **{**known.search_space().paper, **setting.params})
        assert detector.front_end.seconds == 2.0
    assert ADDITIONS["as it was"] == {}


def test_settings_with_an_encoder_stand_beside_random_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny("ast", tmp_path / "ast", config={"max_length": 208}, max_length=208)
    words = ["--weights", f"ast={tmp_path / 'ast'}", "--machine", "fan", "--size", "tiny", "--seconds", "2"]
    assert main([*words, "--seeds", "1", "--epochs", "1"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["| " + name for name in (*WITH_ENCODER, "random scores, at most")]
    assert 0.5 < float(rows[-1][1]) < 0.7
