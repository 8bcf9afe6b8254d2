from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import Context
from asd_ray.detectors.families.flow_aff import FlowAff, _learning_rate_factor
from asd_ray.detectors.nets.glow import Glow
from asd_ray.detectors.nets.maf import MAF
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS

MAF_SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 32, "hidden": 16, "blocks": 2, "lr": 1e-2}
GLOW_SMALL: dict[str, Any] = {
    "flow": "glow", "epochs": 2, "batch_size": 16, "lr": 1e-2, "glow_frames": 8,
    "glow_width": 4, "glow_steps": 1, "glow_levels": 2,
}  # fmt: skip
BOTH = pytest.mark.parametrize("small", [MAF_SMALL, GLOW_SMALL], ids=["maf", "glow"])


@pytest.fixture
def bank(workspace: Workspace) -> Bank:
    """12 + 8 clips of a second, of two ids."""
    return workspace.bank("plain")


def fitted(train: ClipSet, **parameters: Any) -> FlowAff:
    detector = FlowAff(Context(), **parameters)
    for _ in detector.fit(train):
        pass
    return detector


def table(detector: FlowAff, clips: ClipSet) -> Tensor:
    """[clips, ids]: mean negative log density per dimension, window by window, as in the module's docstring."""
    glow = detector.flow == "glow"
    size, hop = (detector.glow_frames, detector.glow_frames // 2) if glow else (detector.frames, 1)
    learned, features = detector._fitted, detector.context.features.get(detector.front_end, clips)
    assert learned is not None
    rows = []
    for i in range(len(clips)):
        frames = (torch.from_numpy(np.array(features.clip(i))) - learned.mean) / learned.deviation
        cut = torch.stack([frames[t : t + size] for t in range(0, len(frames) - size + 1, hop)])
        inputs = cut.transpose(1, 2)[:, None] if glow else cut.flatten(1)
        with torch.no_grad():
            likely = learned.net.log_prob(inputs, torch.arange(len(learned.ids)).expand(len(inputs), -1))
        rows.append(-likely.mean(0) / (size * 128))
    return torch.stack(rows)


@BOTH
def test_nll_is_of_the_own_id_and_nll_ratio_its_difference_to_the_next(bank: Bank, small: dict[str, Any]) -> None:
    detector, test = fitted(bank.select(split="train"), **small), bank.select(split="test")
    scores, actual = detector.score(test), table(detector, test).numpy()
    own = test.frame["id"].astype(int).to_numpy()
    assert set(own) == {0, 1}
    clips_range = np.arange(len(own))
    np.testing.assert_allclose(scores["nll"], actual[clips_range, own], rtol=1e-4)
    np.testing.assert_allclose(
        scores["nll_ratio"], actual[clips_range, own] - actual[clips_range, 1 - own], rtol=1e-3, atol=1e-5
    )
    assert np.abs(actual[:, 0] - actual[:, 1]).mean() > 0.01


@BOTH
def test_a_clip_of_an_unknown_id_is_scored_under_the_likeliest(bank: Bank, small: dict[str, Any]) -> None:
    detector, test = fitted(bank.select(split="train"), **small), bank.select(split="test")
    renamed = Bank.__new__(Bank)
    renamed.__dict__.update(bank.__dict__)
    renamed.frame = bank.frame.assign(id="07")
    scores, actual = detector.score(ClipSet(renamed, test.rows)), table(detector, test).numpy()
    np.testing.assert_allclose(scores["nll"], actual.min(1), rtol=1e-4)
    np.testing.assert_allclose(scores["nll_ratio"], actual.min(1) - actual.max(1), rtol=1e-3, atol=1e-5)


@BOTH
def test_with_one_id_there_is_no_affinity_loss_and_both_variants_are_equal(bank: Bank, small: dict[str, Any]) -> None:
    train, test = bank.select(split="train", id="00"), bank.select(split="test")
    detector = FlowAff(Context(), **small)
    assert [set(progress.losses) for progress in detector.fit(train)] == [{"nll"}] * 2
    scores = detector.score(test)
    assert list(scores) == ["nll", "nll_ratio"]
    np.testing.assert_array_equal(scores["nll"], scores["nll_ratio"])
    plain = fitted(train, **small, loss="plain").score(test)
    np.testing.assert_array_equal(plain["nll"], scores["nll"])


@BOTH
def test_the_affinity_loss_makes_other_ids_less_likely_than_likelihood_alone_does(
    bank: Bank, small: dict[str, Any]
) -> None:
    train, left = bank.select(split="train"), {}
    longer = small | {"epochs": 20}
    for loss in ("plain", "affinity"):
        detector = FlowAff(Context(), **longer, loss=loss)
        steps = [progress.losses for progress in detector.fit(train)]
        assert set(steps[0]) == ({"nll"} if loss == "plain" else {"nll", "affinity"})
        assert steps[-1]["nll"] < steps[0]["nll"]
        left[loss] = affinity(detector, train)
    assert steps[-1]["affinity"] < 0.9 * steps[0]["affinity"]
    assert left["affinity"] < 0.6 * left["plain"]  # 0 to .41 of it with six seeds


def affinity(detector: FlowAff, clips: ClipSet) -> float:
    """The affinity loss of these clips, computed as in training: with the batch's own normalisation.

    The running means that scoring uses lag behind in a training as short as this one, so that MAF's densities of some
    clips run away there, with some seeds.
    """
    windows, ids = windows_of(detector, clips)
    own = torch.tensor(ids)
    assert detector._fitted is not None
    net = detector._fitted.net.train()
    with torch.no_grad():
        likely = net.log_prob(windows, torch.stack([own, 1 - own], 1)) / windows[0].numel()
    net.eval()
    return float((detector.aff_margin - likely[:, 0] + likely[:, 1]).relu().mean())


def windows_of(detector: FlowAff, clips: ClipSet) -> tuple[Tensor, list[int]]:
    """All windows of the clips as inputs of the flow, and the id of each."""
    learned, features = detector._fitted, detector.context.features.get(detector.front_end, clips)
    assert learned is not None
    size = detector.glow_frames if detector.flow == "glow" else detector.frames
    rows, ids = [], []
    for i, own in enumerate(clips.frame["id"].astype(int)):
        frames = (torch.from_numpy(np.array(features.clip(i))) - learned.mean) / learned.deviation
        cut = torch.stack([frames[t : t + size] for t in range(0, len(frames) - size + 1, max(1, size // 2))])
        rows.append(cut.transpose(1, 2)[:, None] if detector.flow == "glow" else cut.flatten(1))
        ids += [own] * len(cut)
    return torch.cat(rows), ids


def test_the_learning_rate_falls_to_a_tenth_between_0_3_and_0_9_of_the_epochs() -> None:
    assert [_learning_rate_factor(epoch / 100) for epoch in (0, 30)] == [1, 1]
    assert [_learning_rate_factor(epoch / 100) for epoch in (60, 90, 99)] == pytest.approx([0.55, 0.1, 0.1])


def test_bins_are_standardised_by_the_training_clips(bank: Bank) -> None:
    train = bank.select(split="train")
    detector = fitted(train, **MAF_SMALL)
    learned, features = detector._fitted, detector.context.features.get(PRESETS["cp_jku"], train)
    assert learned is not None
    frames = torch.from_numpy(np.concatenate([features.clip(i) for i in range(len(train))]))
    standardised = learned.standardised(frames)
    torch.testing.assert_close(standardised.mean(0), torch.zeros(128), atol=1e-3, rtol=0)
    torch.testing.assert_close(standardised.std(0), torch.ones(128), atol=1e-2, rtol=0)


def test_parameters_determine_the_nets() -> None:
    maf = FlowAff(Context())._new_net(3)
    assert isinstance(maf, MAF)
    assert (maf.size, len(maf.blocks)) == (640, 4)
    glow = FlowAff(Context(), flow="glow")._new_net(3)
    assert isinstance(glow, Glow)
    with torch.no_grad():
        outputs, _ = glow(torch.zeros(1, 1, 128, 32))
    assert [tuple(each.shape[1:]) for each in outputs] == [(2, 64, 16), (4, 32, 8), (16, 16, 4)]


@BOTH
def test_the_same_seed_gives_the_same_scores_also_if_scored_between_epochs(
    bank: Bank, small: dict[str, Any], seed_alone_decides: Any
) -> None:
    seed_alone_decides(lambda seed: FlowAff(Context(seed=seed), **small), bank)


@BOTH
def test_the_score_of_a_clip_does_not_depend_on_other_clips(bank: Bank, small: dict[str, Any]) -> None:
    detector, test = fitted(bank.select(split="train"), **small), bank.select(split="test")
    together = detector.score(test)
    for i in range(len(test)):
        for variant, values in detector.score(test.take([i])).items():
            np.testing.assert_allclose(values, together[variant][[i]], rtol=1e-4, atol=1e-6)
    assert all(len(values) == 0 for values in detector.score(test.take(np.zeros(len(test), bool))).values())


@BOTH
def test_state_survives_a_file_and_further_training(bank: Bank, small: dict[str, Any]) -> None:
    detector, test = FlowAff(Context(), **small), bank.select(split="test")
    training = detector.fit(bank.select(split="train"))
    next(training)
    state, scores, file = detector.state(), detector.score(test), io.BytesIO()
    next(training)
    torch.save(state, file)
    file.seek(0)
    other = FlowAff(Context(seed=9), **small)
    other.load(torch.load(file, weights_only=True))
    for variant, values in scores.items():
        np.testing.assert_array_equal(other.score(test)[variant], values)


def test_attributes_are_not_used_as_ids(bank: Bank) -> None:
    named = Bank.__new__(Bank)
    named.__dict__.update(bank.__dict__)
    attributes = pd.Series([f'{{"vel": "{i}"}}' for i in range(len(bank))])
    named.frame = bank.frame.assign(attributes=attributes)
    detector = fitted(named.select(split="train", id="00"), **MAF_SMALL)
    assert detector.state()["ids"] == {"fan/00": 0}


def test_no_clips_raise_an_error_with_a_cure(bank: Bank) -> None:
    with pytest.raises(AsdRayError, match="training needs clips"):
        next(FlowAff(Context()).fit(bank.select(machine="none")))


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"flow": "nice"}, "flow of FlowAff must be 'maf' or 'glow' but got 'nice'"),
        ({"loss": "aff"}, "loss of FlowAff must be 'affinity' or 'plain' but got 'aff'"),
        ({"aff_weight": -0.1}, "aff_weight of FlowAff must be 0 or more"),
        ({"aff_margin": 0.0}, "aff_margin of FlowAff must be above 0"),
        ({"frames": 0}, "frames of FlowAff must be a whole number of at least 1"),
        ({"blocks": 1.5}, "blocks of FlowAff must be a whole number of at least 1"),
        ({"glow_frames": 20}, "glow_frames of FlowAff must be a multiple of 2\\^glow_levels, 8, but got 20"),
        ({"glow_levels": 8, "glow_frames": 256}, "glow_levels of FlowAff must be 7 or less but got 8"),
        ({"lr": 0.0}, "lr of FlowAff must be above 0"),
        ({"batch_size": 1}, "batch_size of FlowAff must be a whole number of at least 2"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        FlowAff(Context(), **parameter)
