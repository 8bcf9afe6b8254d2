"""Search, bundle, explanation and export score in full float32, also where torch was told to use TF32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import Run
from asd_ray.deploy.explain import explain
from asd_ray.deploy.onnx import export
from asd_ray.deploy.onnx.score_net import ScoreNet
from asd_ray.deploy.sound import Sound
from asd_ray.detectors.families.idnn import IDNN
from asd_ray.detectors.parts import training
from asd_ray.errors import AsdRayError
from asd_ray.features import LogMel

from .conftest import SMALL, SmallRun, space_file

backends: Any = torch.backends
Seen = dict[str, set[str]]


@pytest.fixture(autouse=True)
def _tf32_is_asked_for() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    yield
    assert precisions() == {"tf32"}  # what ran has restored it
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Method of a detector -> the precisions with which it was called."""
    found: Seen = {}

    def watch(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        @wraps(original)
        def watched(*args: Any, **named: Any) -> Any:
            found.setdefault(name, set()).update(precisions())
            return original(*args, **named)

        monkeypatch.setattr(owner, name, watched)

    for name in ("score", "state", "error_map"):
        watch(IDNN, name)
    watch(training, "rows_of")  # of `fit` and `score`
    watch(LogMel, "transform")
    watch(ScoreNet, "__init__")
    return found


def precisions() -> set[str]:
    """Of what scoring uses. Torch sets matrix products by request and convolutions by default to TF32."""
    return {operation.fp32_precision for operation in (backends.cuda.matmul, backends.cudnn.conv)}


def test_a_search_scores_in_full_float32_and_trains_as_asked(small: SmallRun, seen: Seen, tmp_path: Path) -> None:
    spaces = {"idnn": space_file(tmp_path, "idnn", SMALL["idnn"])}
    Run(tmp_path / "run").search(
        small.data, "fan", families=["idnn"], spaces=spaces, trials=1, serial=True, quiet=True, keep_states="all"
    )
    assert seen["score"] == seen["state"] == {"ieee"}
    assert seen["rows_of"] == {"tf32", "ieee"}


def test_a_bundle_scores_in_full_float32(small: SmallRun, seen: Seen) -> None:
    small.load().score(small.clips[0])
    assert seen["score"] == seen["transform"] == seen["rows_of"] == {"ieee"}


def test_features_are_in_full_float32_in_training_too(seen: Seen) -> None:
    LogMel()(torch.zeros(1, 16_000))
    assert seen["transform"] == {"ieee"}


def test_an_explanation_is_in_full_float32(small: SmallRun, seen: Seen) -> None:
    bundle = small.load()
    explain(bundle, Sound.read(small.clips[0], bundle.rate, bundle.channel).samples, own=True)
    assert seen["score"] == seen["error_map"] == {"ieee"}


def test_an_export_is_in_full_float32(small: SmallRun, seen: Seen, tmp_path: Path) -> None:
    detectors = small.load().detectors.values()
    with pytest.raises(
        AsdRayError, match="unknown variant"
    ):  # said when the scores are known, before the graph is made
        export(next(each for each in detectors if isinstance(each, IDNN)), tmp_path / "idnn.onnx", ["no such"])
    assert seen["__init__"] == {"ieee"}
