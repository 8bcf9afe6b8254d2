from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context, family
from asd_ray.detectors.families.autoencoder import Autoencoder, TrainingVectors, covariances, precision
from asd_ray.detectors.nets.dense import DenseNet
from asd_ray.detectors.parts import training
from asd_ray.errors import AsdRayError
from asd_ray.features import vectors, windows_of

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 64, "hidden": 32, "layers": 1}


@pytest.fixture
def bank(tmp_path: Path, record: Callable[..., Path]) -> Bank:
    """8 source and 4 target training clips of unequal lengths, 3 test clips."""
    for i in range(15):
        domain, split = ("target" if 8 <= i < 12 else "source"), ("train" if i < 12 else "test")
        name = f"section_00_{domain}_{split}_normal_{i:04d}_vel_1.wav"
        record(tmp_path / "data" / "dev_data" / "fan" / split / name, seconds=0.5 + 0.1 * (i % 3), seed=i)
    return open_bank(tmp_path / "data")


def fitted(bank: Bank, seed: int = 0, **parameters: Any) -> Autoencoder:
    detector = Autoencoder(Context(seed=seed), **{**SMALL, **parameters})
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


def shapes(net: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(each.weight.shape) for each in net.modules() if isinstance(each, nn.Linear)]


def test_the_net_has_the_layers_of_the_baseline() -> None:
    net = Autoencoder(Context())._new_net()
    side = [(128, 128)] * 3
    assert shapes(net) == [(128, 640), *side, (8, 128), (128, 8), *side, (640, 128)]
    kinds = [type(each).__name__ for each in net]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 9 + ["Linear"]  # the bottleneck is normalised too
    linear = 640 * 128 + 128 + 6 * (128 * 128 + 128) + 128 * 8 + 8 + 8 * 128 + 128 + 128 * 640 + 640
    normalised = 2 * (8 * 128 + 8)
    assert sum(each.numel() for each in net.parameters()) == linear + normalised == 265_864 + 2_064
    assert {(each.momentum, each.eps) for each in net if isinstance(each, nn.BatchNorm1d)} == {(0.01, 1e-3)}


@pytest.mark.parametrize(("edition", "zero"), [("2020", True), ("2021", True), ("2023", False)])
def test_keras_editions_start_from_glorot_weights(edition: str, zero: bool) -> None:
    first = Autoencoder(Context(), edition=edition)._new_net()[0]
    assert bool((first.bias == 0).all()) is zero
    bound = np.sqrt(6 / (640 + 128)) if zero else np.sqrt(1 / 640)
    assert 0.99 * bound < float(first.weight.detach().abs().max()) <= bound


def test_editions_have_different_front_ends() -> None:
    rules = [Autoencoder(Context(), edition=edition).front_end.to_dict()["floor_rule"] for edition in ("2020", "2021")]
    assert rules == ["add", "max"]


def test_held_out_vectors_are_the_last_or_random_ones() -> None:
    used, held_out = training.split_tail(50, 0.1)
    assert (used.tolist(), held_out.tolist()) == (list(range(45)), list(range(45, 50)))
    used, held_out = training.split_random(50, 0.1, torch.Generator().manual_seed(0))
    assert sorted([*used.tolist(), *held_out.tolist()]) == list(range(50))
    assert len(held_out) == 5
    assert held_out.tolist() != list(range(45, 50))


def test_held_out_vectors_are_not_trained_on() -> None:
    torch.manual_seed(0)
    frames, changed = torch.randn(100, 4), []
    for scale in (1.0, 50.0):
        frames[80:] *= scale
        row, seen = training.rows_of(frames, 1), []
        net = training.build_with_seed(lambda: DenseNet(4, [3], 4), Context())
        settings = training.TrainingSettings(epochs=2, batch_size=16, lr=0.01)
        used, held_out = torch.arange(80), torch.arange(80, 100)

        def pairs(
            positions: Tensor, net: nn.Module = net, row: Callable[[Tensor], Tensor] = row, seen: list[Tensor] = seen
        ) -> tuple[Tensor, Tensor]:
            if net.training:
                seen.append(positions)
            return row(positions), row(positions)

        losses = [each.losses for each in training.train(net, pairs, used, held_out, settings, Context().generator())]
        epochs = torch.cat(seen).split(80)
        assert [epoch.sort().values.tolist() for epoch in epochs] == [list(range(80))] * 2
        changed.append((training.cpu_weights(net), losses))
    (before, losses), (after, larger) = changed
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [each["train"] for each in losses] == [each["train"] for each in larger]
    assert larger[-1]["validation"] > 100 * losses[-1]["validation"]


def test_losses_are_means_over_vectors() -> None:
    frames = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    row = training.rows_of(frames, 1)
    net, every = DenseNet(4, [], 4), torch.arange(7)
    expected = float((net(frames) - frames).detach().square().mean())
    settings = training.TrainingSettings(epochs=1, batch_size=3, lr=1e-12)
    (progress,) = training.train(
        net, lambda positions: (row(positions), row(positions)), every, every, settings, Context().generator()
    )
    assert progress.losses == pytest.approx({"train": expected, "validation": expected}, rel=1e-5)


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (3, [3])])
def test_no_batch_has_one_vector(count: int, sizes: list[int]) -> None:
    pieces = training.batches(torch.arange(count), 4)
    assert [len(piece) for piece in pieces] == sizes
    assert torch.cat(pieces).tolist() == list(range(count))


def test_covariances_match_a_plain_loop() -> None:
    torch.manual_seed(0)
    frames, net = torch.randn(40, 6), nn.Linear(18, 18)
    starts, target = torch.arange(0, 37), torch.rand(37) < 0.3
    actual = covariances(net, TrainingVectors(frames, starts, target), 3, 10, torch.Generator().manual_seed(4))
    residual = (vectors(frames, 3) - net(vectors(frames, 3))).detach().double().numpy().reshape(-1, 3, 6)
    order = torch.randperm(37, generator=torch.Generator().manual_seed(4)).numpy()
    for domain, members in (("source", ~target.numpy()), ("target", target.numpy())):
        total = np.zeros((6, 6))
        for begin in range(0, 37, 10):
            batch = [v for v in order[begin : begin + 10] if members[v]]
            rows = residual[starts.numpy()[batch]].reshape(-1, 6)
            centred = rows - rows.mean(0)
            for delta in centred:
                total += np.outer(delta, delta)
        np.testing.assert_allclose(actual[domain].numpy(), total / (members.sum() - 1), rtol=1e-5, atol=1e-7)


def test_scores_match_a_computation_with_full_matrices(bank: Bank) -> None:
    detector, test = fitted(bank), bank.select(split="test")
    scores, state = detector.score(test), detector.state()
    assert set(state["precisions"]) == {"source", "target"}
    features = detector.context.features.get(detector.front_end, test)
    for i in range(len(test)):
        rows = vectors(torch.from_numpy(np.array(features.clip(i))), 5)
        with torch.no_grad():
            delta = (rows - detector._net(rows)).double().numpy().reshape(-1, 128)
        full = [delta @ matrix.numpy() @ delta.T for matrix in state["precisions"].values()]
        assert scores["mse"][i] == pytest.approx((delta**2).mean(), rel=1e-5)
        assert scores["mahala"][i] == pytest.approx(min(each.mean() for each in full), rel=1e-4)
        assert scores["mahala_frame"][i] == pytest.approx(min(np.trace(each) / len(each) for each in full), rel=1e-4)


def test_mahala_takes_the_lower_score_of_the_two_domains(bank: Bank) -> None:
    detector, test = fitted(bank), bank.select(split="test")
    state = detector.state()
    each = []
    for domain in ("source", "target"):
        detector.load({**state, "precisions": {domain: state["precisions"][domain]}})
        each.append(detector.score(test))
    detector.load({**state, "precisions": {**state["precisions"], "target": state["precisions"]["target"] * 1e-6}})
    believed = detector.score(test)
    for variant in ("mahala", "mahala_frame"):
        assert (each[1][variant] * 1e-6 < each[0][variant]).all()
        np.testing.assert_allclose(believed[variant], each[1][variant] * 1e-6, rtol=1e-5)


def test_without_target_clips_only_the_source_matrix_is_used(bank: Bank) -> None:
    detector = Autoencoder(Context(), **SMALL)
    list(detector.fit(bank.select(split="train", domain="source")))
    state, test = detector.state(), bank.select(split="test")
    assert set(state["precisions"]) == {"source"}
    alone = detector.score(test)
    detector.load(
        {
            **state,
            "precisions": {"source": state["precisions"]["source"]} | {"target": state["precisions"]["source"].clone()},
        }
    )
    np.testing.assert_array_equal(alone["mahala"], detector.score(test)["mahala"])


def test_a_singular_covariance_gets_a_ridge_and_a_regular_one_does_not() -> None:
    rows = torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    regular = rows.T @ rows
    torch.testing.assert_close(precision(regular) @ regular, torch.eye(6, dtype=torch.float64))
    rows[:, 2] = 0
    for singular in (rows.T @ rows, torch.zeros(6, 6, dtype=torch.float64)):
        regular = precision(singular)
        assert bool(torch.isfinite(regular).all())
        assert bool((torch.linalg.eigvalsh(regular) > 0).all())


def test_scoring_after_every_epoch_changes_nothing(bank: Bank) -> None:
    train, test = bank.select(split="train"), bank.select(split="test")
    detector, during = Autoencoder(Context(), **SMALL), []
    for progress in detector.fit(train):
        during.append(detector.score(test))
        assert set(progress.losses) == {"train", "validation"}
    quiet = fitted(bank).score(test)
    for variant, values in quiet.items():
        np.testing.assert_array_equal(during[-1][variant], values)
        np.testing.assert_array_equal(detector.score(test)[variant], values)
        assert (during[0][variant] != values).all()
    assert detector._training_vectors is None  # the training frames are freed


@pytest.mark.parametrize("edition", ["2020", "2023"])
def test_the_same_seed_gives_the_same_scores(bank: Bank, edition: str) -> None:
    test = bank.select(split="test")
    before = torch.get_rng_state()
    one, again, other = (fitted(bank, seed, edition=edition).score(test) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for variant in one:
        np.testing.assert_array_equal(one[variant], again[variant])
        assert (one[variant] != other[variant]).all()


def test_chunks_hold_whole_clips_in_order() -> None:
    windows = windows_of([9, 5, 30, 6, 5], 5)
    parts = list(training.clip_chunks(windows, at_most=8))
    assert [(part.start, part.stop) for part, _ in parts] == [(0, 2), (2, 3), (3, 5)]
    assert np.concatenate([inside.start for _, inside in parts]).tolist() == windows.start.tolist()


def test_errors_name_the_cure(bank: Bank) -> None:
    with pytest.raises(AsdRayError, match="at least 2 vectors"):
        next(iter(Autoencoder(Context()).fit(bank.select(machine="none"))))


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"edition": "2024"}, "edition of Autoencoder must be one of 2020, 2021, 2023 but got '2024'"),
        ({"lr": -1}, "lr of Autoencoder must be above 0 but got -1"),
        ({"lr": "1e-3"}, "lr of Autoencoder must be above 0"),
        ({"frames": 0}, "frames of Autoencoder must be a whole number of at least 1"),
        ({"bottleneck": 2.5}, "bottleneck of Autoencoder must be a whole number"),
        ({"batch_size": 1}, "batch_size of Autoencoder must be a whole number of at least 2"),
        ({"epochs": True}, "epochs of Autoencoder must be a whole number"),
        ({"validation": 1.0}, r"validation of Autoencoder must be in \[0, 1\)"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        Autoencoder(Context(), **parameter)


@pytest.mark.parametrize("name", ["autoencoder", "idnn"])
def test_the_papers_setting_is_complete_and_within_the_search_space(name: str) -> None:
    from optuna.trial import FixedTrial

    space = family(name).search_space()
    assert set(space.known) == family(name).parameters
    params = space.space(FixedTrial(space.known))
    assert params == {key: space.known[key] for key in params}
    family(name).detector(Context(), **space.paper)
