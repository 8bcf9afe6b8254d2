"""Backends as a parameter that search spaces draw: new trials have every backend, stored ones keep their draw."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FixedTrial

from asd_ray.detectors import family
from asd_ray.detectors.families.aegan_ad import BACKENDS as OF_AEGAN_AD
from asd_ray.detectors.parts.backends import BACKENDS
from asd_ray.families.drawing import draw, first_draw, redraw
from asd_ray.families.space import Space
from asd_ray.ledger.later_params import LATER

OF_PAPER = {
    "complex_net": "knn,lof,maha,gmm",
    "embedding_knn": "knn,knn_ldn,kmeans,lof,maha,gmm",
    "id_classifier": "knn,lof,maha,gmm",
    "stgram": "knn,lof,maha,gmm",
}
EVERY = {name: ",".join(BACKENDS) for name in (*OF_PAPER, "ganomaly")}
EVERY["aegan_ad"] = "knn_ldn,gmm,kmeans,pca,knn_mix,knn_dn,bands,knn_exit"


def space_of(name: str) -> Space:
    return family(name).search_space()


@pytest.mark.parametrize("name", OF_PAPER)
def test_the_papers_trial_has_the_backends_that_it_always_had(name: str) -> None:
    """Others would be another trial: those that are stored would no longer count."""
    assert first_draw(space_of(name)).params["backends"] == OF_PAPER[name]


@pytest.mark.parametrize("name", EVERY)
def test_a_draw_may_have_every_backend(name: str) -> None:
    space = space_of(name)
    choices: Any = first_draw(space).distributions["backends"]
    assert choices.choices == (space.known["backends"], EVERY[name])
    drawn = draw(space, FixedTrial({**space.known, "backends": EVERY[name]}))
    assert drawn == {**space.paper, "backends": EVERY[name]}


@pytest.mark.parametrize("name", EVERY)
def test_a_stored_trial_of_an_earlier_space_has_its_draw_again(name: str) -> None:
    space = space_of(name)
    stored = {**space.paper, "lr": 2e-4}
    again = redraw(space, stored)
    assert again is not None
    assert again.params == stored
    assert again.suggested["backends"] == space.known["backends"]


@pytest.mark.parametrize("name", ["aegan_ad", "ganomaly"])
def test_a_paper_without_backends_does_not_name_them(name: str) -> None:
    assert LATER[name]["backends"] == ""
    assert "backends" not in first_draw(space_of(name)).params


def test_aegan_ad_draws_what_the_paper_lacks() -> None:
    of_the_paper = {f"D_{name}" for name in BACKENDS} & set(OF_AEGAN_AD)
    assert set(EVERY["aegan_ad"].split(",")) == {name for name in BACKENDS if f"D_{name}" not in of_the_paper}
