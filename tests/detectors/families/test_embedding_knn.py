from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from asd_ray.clips.bank import Bank, ClipSet, open_bank
from asd_ray.detectors import Context, Scores
from asd_ray.detectors.families.embedding_knn import PENALTY, EmbeddingKnn, _optimiser
from asd_ray.detectors.nets.dual_branch import WIDTH
from asd_ray.detectors.parts.backends import targets_of
from asd_ray.detectors.parts.classifier import VARIANTS, Classifier
from asd_ray.detectors.parts.heads import AdaProj, SubClusterAdaCos
from asd_ray.detectors.parts.waves import Waves
from asd_ray.errors import AsdRayError

Sounds = dict[str, npt.NDArray[np.floating]]
MakeBank = Callable[[Sounds], Bank]
BACKENDS = ["knn", "knn_ldn", "kmeans", "lof", "maha", "gmm"]
SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 6, "seconds": 0.3, "backends": "knn,kmeans"}


def named(id: str, split: str, number: int, domain: str = "source") -> str:
    return f"fan/{split}/section_{id}_{domain}_{split}_normal_{number:04d}_vel_1"


@pytest.fixture
def bank(bank_of: MakeBank) -> Bank:
    """Two ids with six training clips, two of id 00 in the target domain, and two test clips."""
    rng, waves = np.random.default_rng(0), {}
    for id, hum in (("00", 200), ("01", 300)):
        for number in range(8):
            domain = "target" if (id, number) in (("00", 4), ("00", 5)) else "source"
            name = named(id, "train" if number < 6 else "test", number, domain)
            waves[name] = 0.1 * np.sin(2 * np.pi * hum * np.arange(4800) / 16_000) + rng.normal(0, 0.05, 4800)
    return bank_of(waves)


def fitted(context: Context, clips: ClipSet, **params: Any) -> EmbeddingKnn:
    detector = EmbeddingKnn(context, **{**SMALL, **params})
    assert len(list(detector.fit(clips))) == detector.epochs
    return detector


def made_by(detector: EmbeddingKnn) -> Classifier:
    assert detector._fitted.classifier is not None
    return detector._fitted.classifier


def same(one: Scores, other: Scores, variant: str = "nll") -> bool:
    return bool(np.allclose(one[variant], other[variant], rtol=1e-6))


def test_variants_come_from_logits_and_from_embeddings(context: Context, bank: Bank) -> None:
    train, test = bank.select(split="train"), bank.select(split="test")
    all_of_them = EmbeddingKnn(context).backends
    assert list(fitted(context, train, backends=all_of_them).score(test)) == [*VARIANTS, *BACKENDS]
    assert list(fitted(context, train, backends="").score(test)) == list(VARIANTS)


def test_every_setting_changes_the_scores(context: Context, bank: Bank) -> None:
    train, test = bank.select(split="train"), bank.select(split="test")
    settings: list[dict[str, Any]] = [
        {},
        {"head": "adaproj"},
        {"sub_clusters": 4},
        {"learned": True},
        {"head": "adaproj", "learned": True},
        {"branches": "fft"},
        {"branches": "stft"},
        {"seconds": 0.25},
        {"mix": 0.5},
        {"alpha": 0.3},
        {"lr": 1e-2},
        {"branches": "multi"},
        {"featex": 1.0},
        {"branch_losses": 1.0},
        {"spec_masks": 1},
        {"balance": 0.9},
    ]
    actual = [fitted(context, train, backends="", **each).score(test) for each in settings]
    assert not any(same(actual[i], actual[j]) for i in range(len(actual)) for j in range(i))


@pytest.mark.parametrize(
    ("branches", "width"), [("both", 256), ("fft", 128), ("stft", 128), ("stft3", 384), ("multi", 512)]
)
def test_one_head_gets_all_branches(context: Context, branches: str, width: int) -> None:
    net, head = EmbeddingKnn(context, branches=branches, sub_clusters=8)._modules(3)
    assert isinstance(head, SubClusterAdaCos)
    assert (net.width, tuple(head.weight.shape)) == (width, (24, width))
    net, head = EmbeddingKnn(context, branches=branches, sub_clusters=8, head="adaproj")._modules(3)
    assert isinstance(head, AdaProj)
    assert (net.width, tuple(head.weight.shape)) == (width, (3, 8, width))


@pytest.mark.parametrize("head", ["scac", "adaproj"])
@pytest.mark.parametrize("learned", [False, True])
def test_centres_keep_their_initial_values_unless_learned_and_the_scale_adapts(
    context: Context, bank: Bank, head: str, learned: bool
) -> None:
    detector = fitted(context, bank.select(split="train"), head=head, learned=learned)
    taught, drawn = made_by(detector).head, made_by_seed(detector)
    assert torch.equal(taught.weight, drawn.weight) != learned
    assert float(taught.scale) != float(drawn.scale)


def made_by_seed(detector: EmbeddingKnn) -> torch.nn.Module:
    """The initial head of this detector."""
    return detector._new(made_by(detector).classes).head


def test_mixtures_and_their_labels(context: Context) -> None:
    waves, labels = torch.randn(400, 50), torch.arange(400) % 4
    for share, least, most in ((0.0, 0, 0), (0.5, 150, 250), (1.0, 390, 400)):
        detector = EmbeddingKnn(context, mix=share)
        used, soft = detector._mixed(waves, labels, 4, np.random.default_rng(0))
        changed = (used != waves).any(1)
        assert least <= int(changed.sum()) <= most
        torch.testing.assert_close(soft.sum(1), torch.ones(400))
        assert torch.equal(soft[~changed], torch.nn.functional.one_hot(labels[~changed], 4).float())
    shares = soft.gather(1, labels.unsqueeze(1))[:, 0]
    foreign = shares < 1  # the partner has another class
    assert 250 < int(foreign.sum()) < 350
    assert float(shares[foreign].mean()) == pytest.approx(0.5, abs=0.06)
    for n in foreign.nonzero()[:20, 0].tolist():
        rests = used[n] - shares[n] * waves[n]
        distances = (rests / (1 - shares[n]) - waves).norm(dim=1)
        assert soft[n, labels[distances.argmin()]] == pytest.approx(float(1 - shares[n]), abs=1e-5)


def test_a_small_alpha_leaves_mostly_one_clip(context: Context) -> None:
    waves, labels = torch.randn(400, 5), torch.arange(400)
    of = [
        EmbeddingKnn(context, alpha=alpha)._mixed(waves, labels, 400, np.random.default_rng(0))[1] for alpha in (1, 0.1)
    ]
    even, uneven = ((each.amax(1) < 0.9).float().mean() for each in of)
    assert float(even) > 0.7
    assert float(uneven) < 0.3


def test_only_layers_of_the_net_are_penalised(context: Context, bank: Bank) -> None:
    detector = fitted(context, bank.select(split="train"), learned=True)
    layers, rest = _optimiser(made_by(detector), 0.1).param_groups
    assert (layers["weight_decay"], rest["weight_decay"]) == (2 * PENALTY, 0)
    assert len(layers["params"]) == 8 + 1 + 2 * 8 + 3 + 1  # FFT, first convolution, blocks, shortcuts, last layer
    assert len(rest["params"]) == 2 * (4 + 2 + 2 * 8 + 1) + 1  # normalisations and the centres


def test_smote_adds_target_references_and_changes_nothing_else(context: Context, bank: Bank) -> None:
    train, test = bank.select(split="train"), bank.select(split="test")
    without, with_it = (fitted(context, train, smote_ratio=ratio) for ratio in (0.0, 1.0))
    plain, more = without.state(), with_it.state()
    for part in ("net", "head"):
        assert all(torch.equal(plain[part][name], more[part][name]) for name in plain[part])
    rows = {id: len(more["banks"][f"fan {id}"]["knn"]["bank"]) for id in ("00", "01")}
    assert rows == {"00": 4 + 4, "01": 6}  # as many target clips as source clips; id 01 has none to start from
    assert torch.equal(more["banks"]["fan 00"]["knn"]["bank"][:6], plain["banks"]["fan 00"]["knn"]["bank"])
    before, after = without.score(test), with_it.score(test)
    for variant in VARIANTS:
        np.testing.assert_array_equal(before[variant], after[variant])
    for variant in ("knn", "kmeans"):
        np.testing.assert_array_equal(before[variant][2:], after[variant][2:])


def test_a_short_clip_is_repeated_and_a_long_one_cut(context: Context, bank: Bank, bank_of: MakeBank) -> None:
    detector = fitted(context, bank.select(split="train"))
    wave = np.random.default_rng(1).normal(0, 0.1, 2000)
    lengths = {
        0: wave,
        1: np.tile(wave, 3)[:4800],
        2: np.concatenate([np.tile(wave, 3)[:4800], 0.5 * wave]),
        3: wave[:1800],
    }
    others = bank_of({named("00", "test", 20 + n): each for n, each in lengths.items()})
    clips = ClipSet(others, np.flatnonzero(others.frame["clip"].str.contains("_002")))
    assert clips.lengths.tolist() == [2000, 4800, 6800, 1800]
    for values in detector.score(clips).values():
        np.testing.assert_allclose(values[1:3], values[0], rtol=1e-4, atol=1e-7)
        assert abs(values[3] - values[0]) > 1e-4 * abs(values[0])


@pytest.mark.parametrize("head", ["scac", "adaproj"])
def test_silence_can_be_trained_on_and_scored(context: Context, bank_of: MakeBank, head: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 3, 4800))
    waves = {named(f"0{id}", "train", n): noise[id, n] * (n > 0) for id in range(2) for n in range(3)}
    bank = bank_of({**waves, named("00", "test", 3): np.zeros(4800)})
    detector = fitted(context, bank.select(split="train"), head=head, backends="knn,knn_ldn,kmeans,lof,maha")
    for values in detector.score(bank.select(split="test")).values():
        assert np.isfinite(values).all()


@pytest.fixture
def planted(bank_of: MakeBank) -> Bank:
    """Per id, twelve normal clips to train on, the last three of the target domain, two more to test, and two with a
    tone."""
    rng, time = np.random.default_rng(0), np.arange(4800) / 16_000
    waves: Sounds = {}
    for id, hz in (("00", 220), ("01", 330)):
        for number in range(16):
            partials = sum(
                np.sin(2 * np.pi * hz * k * time + rng.random()) * rng.uniform(0.8, 1.2) / k for k in range(1, 6)
            )
            wave = 0.1 * np.asarray(partials) + rng.normal(0, 0.01, 4800)
            if number >= 14:
                wave += 0.2 * np.sin(2 * np.pi * rng.uniform(2500, 4500) * time)
            domain = "target" if 9 <= number < 12 else "source"
            waves[named(id, "train" if number < 12 else "test", number, domain)] = wave
    return bank_of(waves)


@pytest.mark.parametrize(
    "setting",
    [{}, {"branches": "multi"}, {"featex": 0.5}, {"branch_losses": 1.0}, {"spec_masks": 1, "balance": 0.5}],
    ids=str,
)
def test_planted_anomalies_get_higher_scores(context: Context, planted: Bank, setting: dict[str, Any]) -> None:
    train, test = planted.select(split="train"), planted.select(split="test")
    detector = fitted(context, train, epochs=10, batch_size=8, backends="knn,maha", **setting)
    scores = detector.score(test)
    for variant in ("knn", "maha"):
        values = scores[variant].reshape(2, 4)  # per id: two normal clips, two with a tone
        assert (values[:, 2:].min(1) > values[:, :2].max(1)).all(), variant


@pytest.mark.parametrize(
    "setting", [{"featex": 0.5}, {"branch_losses": 0.5}, {"featex": 0.5, "branch_losses": 2.0}], ids=str
)
def test_extra_losses_are_added_and_leave_the_draws_of_the_first_alone(
    context: Context, bank: Bank, setting: dict[str, Any]
) -> None:
    """In the first step, when no weight has moved, the head's own loss is that without the setting."""
    train = bank.select(split="train")
    whole: dict[str, Any] = {**SMALL, "batch_size": 12, "backends": ""}
    (plain,) = EmbeddingKnn(context, **whole).fit(train)
    (progress,) = EmbeddingKnn(context, **whole, **setting).fit(train)
    assert list(plain.losses) == ["train"]
    losses = dict(progress.losses)
    assert losses.keys() - {"train", "head"} == {"featex": {"exchange"}, "branch_losses": {"branches"}}.get(
        "".join(setting), {"exchange", "branches"}
    )
    assert losses["head"] == plain.losses["train"]
    total = losses.pop("train")
    assert total == pytest.approx(sum(losses.values()), rel=1e-6)
    assert total > losses["head"]


@pytest.mark.parametrize("setting", [{"spec_masks": 2}, {"balance": 0.5}], ids=str)
def test_what_changes_the_clips_of_training_alone_leaves_scoring_as_it_is(
    context: Context, bank: Bank, setting: dict[str, Any]
) -> None:
    train, test = bank.select(split="train"), bank.select(split="test")
    with_it, without = fitted(context, train, **setting), EmbeddingKnn(context, **SMALL)
    without.load(with_it.state())
    for variant, values in with_it.score(test).items():
        np.testing.assert_array_equal(without.score(test)[variant], values)


def test_extra_settings_have_no_effect_where_they_have_nothing_to_work_on(context: Context, bank: Bank) -> None:
    """One branch has no other to be exchanged with, and clips of one domain have no other to be balanced with."""
    train, test = bank.select(split="train"), bank.select(split="test")
    sources = train.take((train.frame["domain"] == "source").to_numpy())
    settings: list[dict[str, Any]] = [{}, {"featex": 1.0, "branch_losses": 1.0, "balance": 0.9}]
    plain, extra = (fitted(context, sources, branches="fft", **each).score(test) for each in settings)
    np.testing.assert_array_equal(plain["nll"], extra["nll"])


def test_balance_is_the_share_of_target_clips_in_training(
    context: Context, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, seen = bank.select(split="train"), list[Tensor]()
    plain = Waves.__call__

    def note(self: Waves, positions: Tensor) -> Tensor:
        seen.append(positions)
        return plain(self, positions)

    detector = EmbeddingKnn(context, **{**SMALL, "branches": "fft", "epochs": 12, "backends": ""}, balance=0.5)
    monkeypatch.setattr(Waves, "__call__", note)
    for _ in detector.fit(train):
        pass
    is_target = targets_of(train)
    assert [len(each) for each in seen] == [6] * 24
    assert float(is_target.float().mean()) == pytest.approx(1 / 6)
    assert float(is_target[torch.cat(seen)].float().mean()) == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("head", ["scac", "adaproj"])
def test_all_settings_together_keep_their_state_without_what_only_training_needs(
    context: Context, bank: Bank, head: str
) -> None:
    settings = {**SMALL, "branches": "multi", "featex": 0.5, "branch_losses": 1.0, "spec_masks": 1, "balance": 0.5}
    train, test = bank.select(split="train"), bank.select(split="test")
    detector = fitted(context, train, **settings, head=head)
    state = detector.state()
    assert not [name for name in (*state["net"], *state["head"]) if "exchange" in name or "branches" in name]
    other = EmbeddingKnn(context, **{**settings, "featex": 0.0, "branch_losses": 0.0}, head=head)
    other.load(state)
    for variant, values in detector.score(test).items():
        np.testing.assert_allclose(other.score(test)[variant], values, rtol=1e-6)


def test_the_loss_falls(context: Context, bank: Bank) -> None:
    detector = EmbeddingKnn(context, **{**SMALL, "epochs": 6, "mix": 0.0})
    losses = [step.losses["train"] for step in detector.fit(bank.select(split="train"))]
    assert losses[-1] < 0.5 * losses[0]


def test_the_front_end_gives_the_samples_in_use(context: Context) -> None:
    front_ends = [EmbeddingKnn(context, seconds=seconds).front_end for seconds in (10, 10.0, 18.0)]
    assert [each.frames(160_000) for each in front_ends] == [311, 311, 561]
    assert front_ends[0].hash == front_ends[1].hash != front_ends[2].hash


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head": "arcface"}, "head of EmbeddingKnn must be one of scac, adaproj but got 'arcface'"),
        ({"branches": "mel"}, "branches of EmbeddingKnn must be one of both, fft, stft, stft3, multi but got 'mel'"),
        ({"sub_clusters": 0}, "sub_clusters of EmbeddingKnn must be a whole number of at least 1"),
        (
            {"head": "adaproj", "branches": "fft", "sub_clusters": 128},
            "sub_clusters of EmbeddingKnn must be below the 128 dimensions of the embedding",
        ),
        ({"learned": 1}, "learned of EmbeddingKnn must be true or false but got 1"),
        ({"seconds": 0.1}, "seconds of EmbeddingKnn must be 0.25 or more but got 0.1"),
        ({"mix": 1.1}, r"mix of EmbeddingKnn must be in \[0, 1\] but got 1.1"),
        ({"alpha": 0.0}, "alpha of EmbeddingKnn must be above 0"),
        ({"smote_ratio": -0.1}, r"smote_ratio of EmbeddingKnn must be in \[0, 1\]"),
        ({"backends": "knnn"}, "unknown backend 'knnn'; did you mean 'knn'"),
        ({"lr": 0.0}, "lr of EmbeddingKnn must be above 0"),
        (
            {"head": "adaproj", "branches": "multi", "sub_clusters": 512},
            "sub_clusters of EmbeddingKnn must be below the 512 dimensions of the embedding",
        ),
        (
            {"head": "adaproj", "sub_clusters": 128, "branch_losses": 1.0},
            "sub_clusters of EmbeddingKnn must be below the 128 dimensions of the embedding of a branch",
        ),
        ({"featex": 1.5}, r"featex of EmbeddingKnn must be in \[0, 1\] but got 1.5"),
        ({"branch_losses": -1.0}, "branch_losses of EmbeddingKnn must be 0 or more"),
        ({"spec_masks": 0.5}, "spec_masks of EmbeddingKnn must be a whole number of at least 0"),
        ({"balance": 1.0}, r"balance of EmbeddingKnn must be in \[0, 1\)"),
    ],
)
def test_parameters_out_of_bounds_are_rejected(context: Context, params: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        EmbeddingKnn(context, **params)


def test_unsuitable_clips_raise_an_error(context: Context, bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="fan/00: it learns to tell classes .* there is a single training clip"):
        next(iter(EmbeddingKnn(context, **SMALL).fit(bank.select(split="train", id="00").take([0]))))
    slow = open_bank(tmp_path / "waves", rate=8000, workers=1)
    with pytest.raises(AsdRayError, match="the front end expects 16000 Hz but the bank has 8000 Hz"):
        next(iter(EmbeddingKnn(context, **SMALL).fit(slow.select(split="train"))))


def test_heads_of_training_alone_do_not_start_from_the_draws_of_the_net(context: Context) -> None:
    for seed in (0, 2**31 + 5, 2**32 - 1):
        detector = EmbeddingKnn(replace(context, seed=seed), **{**SMALL, "featex": 0.5, "sub_clusters": 2})
        extra = detector._extra_heads(3).exchange
        assert isinstance(extra, SubClusterAdaCos)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            of_net = detector._head(2 * WIDTH, 9, True).weight
        assert of_net.shape == extra.weight.shape
        assert not torch.isclose(of_net, extra.weight).any(1).all()
        assert float(torch.corrcoef(torch.stack([of_net.flatten(), extra.weight.flatten()]))[0, 1].abs()) < 0.1


def test_one_branch_has_no_losses_that_limit_its_subspace(context: Context) -> None:
    params: dict[str, Any] = {"head": "adaproj", "sub_clusters": 127, "branch_losses": 1.0}
    assert EmbeddingKnn(context, **params, branches="fft").sub_clusters == 127
    with pytest.raises(AsdRayError, match="below the 128 dimensions of the embedding of a branch, with branch_losses"):
        EmbeddingKnn(context, **{**params, "sub_clusters": 128})
    with pytest.raises(AsdRayError, match="below the 128 dimensions of the embedding, with head 'adaproj'"):
        EmbeddingKnn(context, **{**params, "sub_clusters": 128}, branches="fft")
