"""Every classifier learns a machine whose normal clips have one id and no attributes, from classes by clustering."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asd_ray.clips.bank import Bank
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import family
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.errors import AsdRayError

CLASSIFIERS = ("complex_net", "embedding_knn", "id_classifier", "stgram")
WITHOUT_WARPS: dict[str, dict[str, Any]] = {"id_classifier": {"warps": 0}}
BETTER_THAN_CHANCE = 0.7  # AUC of the best variant


def hidden(bank: Bank) -> Bank:
    """The same sound with one id and no attributes."""
    other = copy.copy(bank)
    other.frame = bank.frame.assign(id="00", attributes="{}")
    return other


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_it_learns_scores_and_is_restored(name: str, workspaces: Callable[[str], Workspace]) -> None:
    workspace, tested = workspaces(name), family(name)
    bank = hidden(workspace.bank("planted"))
    train, test = bank.select(split="train"), bank.select(split="test")
    more = WITHOUT_WARPS.get(name, {})

    def new(**params: Any) -> Any:
        return tested.detector(workspace.context(), **{**workspace.smaller, "epochs": 3, **more, **params})

    detector = new(batch_size=8)
    assert detector.suits(train.frame) == ""
    for progress in detector.fit(train):
        assert np.isfinite([*progress.losses.values()]).all()
    scores = detector.score(test)
    anomalous = (test.frame["label"] == "anomaly").to_numpy()
    aucs = {variant: (v[anomalous][:, None] > v[~anomalous]).mean() for variant, v in scores.items()}
    assert max(aucs.values()) > BETTER_THAN_CHANCE, aucs
    state, _ = from_bytes(to_bytes(detector.state(), {}), "the state")
    assert sorted(state["classes"].values()) == [f"fan/00/~{number}" for number in range(8)]
    other = new()
    other.load(state)
    for variant, values in other.score(test).items():
        np.testing.assert_allclose(values, scores[variant], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_has_two_ids_is_split_if_that_is_asked_for(name: str, workspaces: Callable[[str], Workspace]) -> None:
    workspace = workspaces(name)
    train = workspace.bank("plain").select(split="train")
    params = {**workspace.smaller, "epochs": 1, **WITHOUT_WARPS.get(name, {}), "labels": "vq", "clusters": 2}
    detector = family(name).detector(workspace.context(), **params)
    list(detector.fit(train))
    assert [*detector.state()["classes"].values()] == ["fan/00/~0", "fan/00/~1", "fan/01/~0", "fan/01/~1"]


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"labels": "none"}, "labels of .* must be one of real, kmeans, ward, vq but got 'none'"),
        ({"clusters": 1}, "clusters of .* must be a whole number of at least 2"),
    ],
)
def test_parameters_out_of_bounds_are_rejected(
    name: str, params: dict[str, Any], message: str, workspaces: Callable[[str], Workspace]
) -> None:
    with pytest.raises(AsdRayError, match=message):
        family(name).detector(workspaces(name).context(), **params)
