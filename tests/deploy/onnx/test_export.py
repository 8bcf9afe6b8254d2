"""Detectors as files that onnxruntime runs, without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from asd_ray import __version__
from asd_ray.clips.bank import ClipSet
from asd_ray.deploy.onnx import Exported, export, why_not
from asd_ray.deploy.onnx.dense import IdnnScores
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.families import EXPORTERS, score_net
from asd_ray.detectors import Context, Detector
from asd_ray.detectors.families.idnn import IDNN
from asd_ray.errors import AsdRayError
from tests.deploy.onnx.conftest import New, Written, assert_same, id_numbers, waves_of


class Mine(IDNN):
    """A user's own class, even if it is derived from one of ours."""


class Sized(IdnnScores):
    """Its code depends on the length of the clips."""

    def forward(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().forward(samples if samples.shape[1] == self.example_samples else samples / 2)


def run(path: Path, waves: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of a file by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"samples": waves, "id": ids}
    named = {each.name: inputs[each.name] for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, named), strict=True))


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_scores_in_onnxruntime_are_those_of_the_detector(
    name: str, fitted: New, exported: Written, demo: tuple[ClipSet, ClipSet]
) -> None:
    detector, clips = fitted(name), demo[1]
    path, facts = exported(name)
    waves, ids = waves_of(clips, facts.samples), id_numbers(clips, facts.ids)
    scores, expected = run(path, waves, ids), detector.score(clips)
    assert tuple(scores) == facts.variants
    assert scores.keys() == expected.keys()
    for variant, values in scores.items():
        assert values.dtype == np.float32
        assert values.shape == (len(clips),)
        assert_same(variant, values, expected[variant])

    net = score_net(detector)
    other = np.ascontiguousarray(waves[:3, : facts.samples or facts.least_samples + 1111])
    inputs = [torch.from_numpy(other), torch.from_numpy(ids[:3])][: 2 if facts.ids else 1]
    with torch.inference_mode():
        expected_of_other = net(*inputs)
    for variant, values in run(path, other, ids[:3]).items():
        assert_same(variant, values, expected_of_other[variant])


def test_a_file_says_what_it_takes_and_gives(exported: Written) -> None:
    path, facts = exported("twfr_gmm")
    assert facts == Exported(("gmm",), 16_000, None, 513, ("fan/00", "fan/02"))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    stored = {prop.key: prop.value for prop in model.metadata_props}
    assert stored.pop("asd_ray") == __version__
    assert {key: json.loads(value) for key, value in stored.items()} == {
        "variants": ["gmm"],
        "rate": 16_000,
        "samples": None,
        "least_samples": 513,
        "ids": ["fan/00", "fan/02"],
    }


def test_only_the_chosen_variants_are_in_the_file(
    fitted: New, exported: Written, demo: tuple[ClipSet, ClipSet], tmp_path: Path
) -> None:
    detector, path = fitted("autoencoder"), tmp_path / "mse.onnx"
    assert export(detector, path, ["mse"]).variants == ("mse",)
    scores = run(path, waves_of(demo[1]), np.array([]))
    assert_same("mse", scores["mse"], detector.score(demo[1])["mse"])
    whole, _ = exported("autoencoder")
    assert path.stat().st_size + 128 * 128 * 8 < whole.stat().st_size  # without the covariance in 64 bits


def test_variants_that_a_detector_lacks_are_an_error(fitted: New, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="unknown variant 'mes'; did you mean 'mse'"):
        export(fitted("autoencoder"), tmp_path / "mse.onnx", ["mes"])
    assert not (tmp_path / "mse.onnx").exists()


def test_a_detector_that_needs_gradients_says_so(fitted: New, tmp_path: Path) -> None:
    detector = fitted("anogan")
    assert "gradient" in why_not(detector)
    with pytest.raises(AsdRayError, match="AnoGan cannot be exported to ONNX: its score is a search by gradient"):
        export(detector, tmp_path / "none.onnx")


def test_a_class_of_a_user_has_no_exporter() -> None:
    detector: Detector = Mine(Context())
    assert why_not(detector) == "its class has no exporter"
    assert why_not(IDNN(Context())) == ""


def test_a_detector_that_was_not_fitted_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="export of IDNN was called before fit"):
        export(IDNN(Context()), tmp_path / "none.onnx")


def test_a_net_that_depends_on_the_length_of_clips_is_not_exported_for_one_length(
    fitted: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPORTERS, "idnn", Sized)
    with pytest.raises(CannotExport, match="of one number or length only"):
        export(fitted("idnn"), tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()


def test_an_export_changes_no_score(fitted: New, demo: tuple[ClipSet, ClipSet]) -> None:
    detector = fitted("idnn")
    before = detector.score(demo[1])
    score_net(detector)
    for variant, values in detector.score(demo[1]).items():
        np.testing.assert_array_equal(values, before[variant])
