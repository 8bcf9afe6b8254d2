"""Every family learns and scores on a device other than the CPU: one that is pretended, because no GPU is needed so.

The device is a mock of a GPU (see `pretended_device`). The checks run once, in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import FAMILIES

HERE = Path(__file__).parent
MORE = [
    *("autoencoder, less noise", "embedding_knn, supplemental"),
    *("aegan_ad, batch norm", "complex_net, mixed", "embedding_knn, adaproj", "embedding_knn, clustered"),
    *("embedding_knn, multi", "flow_aff, glow"),
    *("id_classifier, warped", "id_classifier, resampled", "stgram, noisy"),
]
RUNS = [*FAMILIES, *MORE]
ON_THE_CPU = {"twfr_gmm"}  # sorts and fits with numpy and scikit-learn; only its features are made on the device
WITHOUT_STEPS = {"pretrained"}  # it trains nothing
WITH_EMBEDDINGS = {
    "aegan_ad",
    "complex_net",
    "embedding_knn",
    "finetuned",
    "ganomaly",
    "id_classifier",
    "pretrained",
    "stgram",
}
WITH_MAPS = {"aegan_ad", "autoencoder", "group_made", "idnn"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, encoder_weights: Path) -> dict[str, Any]:
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, HERE / "pretended_checks.py", tmp_path_factory.mktemp("pretended")]
    env = {**os.environ, "PYTHONPATH": paths, "ASD_RAY_WEIGHTS": str(encoder_weights)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def found(report: dict[str, Any], run: str) -> dict[str, Any]:
    return report["families"][run]


pytestmark = pytest.mark.timeout(1600)  # of the first test, which waits for the checks


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a tensor of the CPU", "expected all tensors on pretended:0 but found one on cpu"),
        ("a matrix of the CPU", "expected all tensors on pretended:0 but found one on cpu"),
        ("positions on the CPU", "expected all tensors on pretended:0 but found one on cpu"),
        ("a net of the CPU", "expected all tensors on pretended:0 but found one on cpu"),
        ("a generator of the CPU", "expected a generator of pretended but found one of cpu"),
        ("numpy()", "not supported"),
        ("np.asarray", "not supported"),
    ],
)
def test_the_device_refuses(report: dict[str, Any], what: str, words: str) -> None:
    assert words in report["refusals"][what]


@pytest.mark.parametrize("what", ["item", "float", "bool", "cpu", "tolist", "mask", "copy"])
def test_what_waits_for_the_device_is_noted(report: dict[str, Any], what: str) -> None:
    assert len(report["waits"][what]) == 1


def test_what_does_not_wait_is_not_noted(report: dict[str, Any]) -> None:
    assert report["waits"]["none"] == []


def test_the_checks_run_every_family(report: dict[str, Any]) -> None:
    assert sorted(report["families"]) == sorted(RUNS)


@pytest.mark.parametrize("run", RUNS)
def test_a_family_learns_and_scores_on_the_device(found: dict[str, Any], run: str) -> None:
    assert "error" not in found, found["error"]
    family = run.split(",")[0]
    assert found["operators"] > 10
    assert found["losses_are_numbers"]
    assert len(found["differences"]) == (2 if run in MORE else 3)
    for how, by_variant in found["differences"].items():
        assert max(by_variant.values()) < 1e-3, how  # in deviations of the scores
    assert bool(found["finite_embeddings"]) == (family in WITH_EMBEDDINGS)
    assert all(found["finite_embeddings"])
    assert found["finite_maps"] == [True] * (found["clips"] if family in WITH_MAPS else 0)


@pytest.mark.parametrize("run", [run for run in RUNS if run not in ON_THE_CPU | WITHOUT_STEPS])
def test_no_step_of_training_waits_for_the_device(found: dict[str, Any], run: str) -> None:
    assert found["steps"] > 1  # waits of the first are not counted
    assert found["waits"] == []
