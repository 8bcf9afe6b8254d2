"""Each use of supplemental clips changes what it should, and nothing without such clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.detectors import Context, family
from asd_ray.detectors.parts import supplemental as use
from asd_ray.detectors.parts.waves import Waves
from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, FeatureCache, Magnitude
from asd_ray.tuning.suiting import StudyClips, reason_against, reason_against_draws

RATE, HUM, HISS = 16_000, 440.0, 3_000.0
Waves32 = dict[str, npt.NDArray[np.floating]]


def tone(hz: float, gain: float, seconds: float = 0.5) -> npt.NDArray[np.floating]:
    return gain * np.sin(2 * np.pi * hz * np.arange(round(RATE * seconds)) / RATE)


def waves(machine: str = "fan", noise: int = 2, clean: int = 1) -> Waves32:
    """Six clips of a hum, two of them to test; noise is a hiss, a tone of its own in this test."""
    named: Waves32 = {}
    for n in range(6):
        split = "train" if n < 4 else "test"
        wave = tone(HUM + 5 * n, 0.2) + np.random.default_rng(n).normal(0, 0.005, RATE // 2)
        named[f"{machine}/{split}/section_{n % 2:02d}_source_{split}_normal_{n:04d}_"] = wave
    for n in range(noise):
        named[f"{machine}/supplemental/section_00_noise_{n:04d}_"] = tone(HISS, 0.05, 0.4)
    for n in range(clean):
        named[f"{machine}/supplemental/section_00_machine_{n:04d}_"] = tone(HUM, 0.2)
    return named


@pytest.fixture
def bank(bank_of: Callable[[Waves32], Bank]) -> Bank:
    """A fan with supplemental clips, and a pump without any."""
    return bank_of({**waves(), **waves("pump", noise=0, clean=0)})


def train_of(bank: Bank, machine: str | None = "fan") -> ClipSet:
    return bank.select(machine, split="train")


def mix(bank: Bank, share: float, machine: str | None = "fan", seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """All training waves, and the same with noise."""
    train = train_of(bank, machine)
    source = Waves(train, Magnitude(seconds=0.5, short="repeat"), torch.device("cpu"))
    positions = torch.arange(len(train))
    plain = source(positions)
    return plain, use.NoiseMix(train, source, share, seed)(plain, positions)


def test_noise_is_mixed_in_at_levels_within_the_range(bank: Bank) -> None:
    plain, noisy = mix(bank, 1.0)
    added = noisy - plain
    levels = 20 * torch.log10(plain.square().mean(1).sqrt() / added.square().mean(1).sqrt())
    assert ((levels > -0.1) & (levels < 20.1)).all()
    assert len(set(levels.round(decimals=2).tolist())) == len(plain)
    loudest = torch.fft.rfft(added).abs().argmax(1) * RATE / added.shape[1]
    assert ((loudest - HISS).abs() < 10).all()  # it is the noise, not the clean sound


def test_only_a_share_gets_noise_and_only_of_its_own_machine(bank: Bank) -> None:
    changed = [sum((mix(bank, 0.5, seed=seed)[0] != mix(bank, 0.5, seed=seed)[1]).any(1).tolist()) for seed in range(8)]
    assert 0.2 < sum(changed) / 32 < 0.8
    plain, noisy = mix(bank, 1.0, None)
    assert (plain != noisy).any(1).tolist() == [True] * 4 + [False] * 4  # the pump has no noise
    for share, machine in ((0.0, "fan"), (1.0, "pump")):
        plain, noisy = mix(bank, share, machine)
        assert noisy is plain


def test_far_sound_is_subtracted_from_the_noise_as_from_the_waves(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the far channel, which here has the near one's sound at half its level."""
    train = train_of(bank)
    source = Waves(train, Magnitude(seconds=0.5, short="repeat"), torch.device("cpu"))
    plain = source(positions := torch.arange(len(train)))
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def less_far(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        pairs.append((near, far))
        return near.roll(1000, 1)

    class Quieter:
        def __init__(self, clips: ClipSet) -> None:
            self.clips = clips

        def samples(self, i: int) -> npt.NDArray[np.int16]:
            return (self.clips.samples(i) // 2).astype(np.int16)

    monkeypatch.setattr("asd_ray.detectors.parts.microphones.heard_channels", lambda own, _: [own, Quieter(own)])
    noisy = use.NoiseMix(train, source, 1.0, 0, less_far)(plain, positions)
    ((near, far),) = pairs
    assert float(near.abs().max()) > 0.01
    torch.testing.assert_close(far, near / 2, rtol=0, atol=1 / 32768)  # the same clip and place
    usual = use.NoiseMix(train, source, 1.0, 0)(plain, positions)
    torch.testing.assert_close(noisy - plain, (usual - plain).roll(1000, 1), rtol=1e-3, atol=1e-6)


def test_noise_is_not_mixed_into_supplemental_clips(bank: Bank) -> None:
    train = train_of(bank)
    clips, labels = use.with_further_classes(train, torch.tensor([0, 1, 0, 1]), 2, True)
    source = Waves(clips, Magnitude(seconds=0.5, short="repeat"), torch.device("cpu"))
    plain = source(positions := torch.arange(len(clips)))
    noisy = use.NoiseMix(train, source, 1.0, 0)(plain, positions)
    assert labels.tolist() == [0, 1, 0, 1, 2, 3, 3]
    assert (plain != noisy).any(1).tolist() == [True] * 4 + [False] * 3


def test_the_memory_takes_supplemental_clips_for_normal(bank: Bank) -> None:
    embed = {"fan": torch.eye(6)[:4], "noise": torch.eye(6)[4:5].expand(3, -1)}
    memory = use.memory_of(
        train_of(bank), (embed["fan"], np.arange(4)), lambda clips: (embed["noise"], np.arange(len(clips)))
    )
    ids = [*(f"fan {id}" for id in train_of(bank).frame["id"]), "fan 01", "fan 00"]
    scores = memory.score(torch.eye(6), ids)["knn_supplemental"]
    assert scores.tolist() == [0, 0, 0, 0, 0, 1]  # the fifth is that of the noise
    again = use.new_memory()
    again.load(memory.state())
    assert torch.equal(again.score(torch.eye(6), ids)["knn_supplemental"], scores)


def test_the_memory_takes_several_embeddings_of_a_clip(bank: Bank) -> None:
    """Two of each training clip. Supplemental clips of the fan are no neighbours of a clip of the pump."""
    train = train_of(bank, None)
    rows = torch.eye(20)
    memory = use.memory_of(
        train, (rows[:16], np.arange(16) // 2), lambda clips: (rows[16:19], np.arange(len(clips), dtype=np.intp))
    )
    own = [f"{machine} {id}" for machine, id in zip(train.frame["machine"], train.frame["id"], strict=True)]
    ids = [*(own[n // 2] for n in range(16)), "fan 00", "fan 01", "pump 00", "fan 00"]
    assert memory.score(rows, ids)["knn_supplemental"].tolist() == [0] * 18 + [1, 1]


def test_subtraction_leaves_the_machine_and_at_least_a_share() -> None:
    machine, noise = torch.tensor([100.0, 1e-3, 5.0]), torch.tensor([10.0, 1.0, 0.0])
    frames = 10 * torch.log10(machine + noise)
    left = use.less_noise(frames[None], noise, 1.0)[0]
    torch.testing.assert_close(10 ** (left / 10), torch.tensor([100.0, 0.01 * 1.001, 5.0]), rtol=1e-4, atol=0)
    torch.testing.assert_close(use.less_noise(frames, noise, 0.0), frames)


def test_subtraction_is_of_each_machine_and_leaves_the_cache_as_it_was(bank: Bank, tmp_path: Path) -> None:
    cache, front_end = FeatureCache(tmp_path / "cache"), PRESETS["baseline"]
    both, device = train_of(bank, None), torch.device("cpu")
    plain = cache.get(front_end, both)
    subtraction = use.NoiseSubtraction(cache, 1.0)
    subtraction.learn(front_end, both, device)
    entries = len(list((tmp_path / "cache").rglob("*.feat")))
    found = subtraction.get(front_end, both)
    assert len(list((tmp_path / "cache").rglob("*.feat"))) == entries == 2  # of the clips, and of the noise
    same = [np.array_equal(found.clip(i), plain.clip(i)) for i in range(len(both))]
    assert same == [False] * 4 + [True] * 4
    assert all((found.clip(i) <= plain.clip(i)).all() for i in range(len(both)))
    again = use.NoiseSubtraction(cache, 1.0)
    again.load(subtraction.state())
    assert all(np.array_equal(found.clip(i), again.get(front_end, both).clip(i)) for i in range(len(both)))
    off = use.NoiseSubtraction(cache, 0.0)
    off.learn(front_end, both, device)
    assert off.get(front_end, both).clip(0).tobytes() == plain.clip(0).tobytes()
    assert off.state() == {}


QUICK: dict[str, dict[str, Any]] = {
    "autoencoder": {"epochs": 1, "hidden": 8, "layers": 1},
    "complex_net": {"epochs": 1, "width_factor": 0.1, "frames": 32, "backends": "knn"},
    "embedding_knn": {"epochs": 1, "seconds": 0.5, "backends": "knn", "branches": "fft"},
    "finetuned": {"encoder": "ast", "rank": 2, "lr": 0.01, "epochs": 1, "seconds": 0.5, "backends": "knn"},
    "id_classifier": {"epochs": 1, "frames": 32, "hop": 16, "backends": "knn"},
    "idnn": {"epochs": 1, "hidden": 8},
    "pretrained": {"encoder": "ast", "backends": "knn"},
    "stgram": {"epochs": 1, "seconds": 0.5, "net": "mobilefacenet_2023", "inputs": "sgram", "backends": "knn"},
    "twfr_gmm": {"components": 1},
}
USES = [
    *[(name, "subtract_noise", 1.0) for name in ("autoencoder", "idnn", "twfr_gmm")],
    *[(name, "noise_mix", 1.0) for name in ("embedding_knn", "finetuned", "stgram")],
    ("pretrained", "supplemental_bank", True),
    *[
        (name, f"supplemental_{what}", True)
        for name in ("complex_net", "embedding_knn", "finetuned", "id_classifier", "stgram")
        for what in ("class", "bank")
    ],
]


def scores(name: str, context: Context, train: ClipSet, clips: ClipSet, **params: Any) -> dict[str, Any]:
    detector = family(name).detector(context, **QUICK[name], **params)
    list(detector.fit(train))
    return dict(detector.score(clips))


@pytest.mark.parametrize(("name", "parameter", "value"), USES)
def test_a_use_changes_a_family_only_where_there_are_such_clips(
    name: str, parameter: str, value: Any, bank: Bank, context: Context
) -> None:
    for machine, has_clips in (("fan", True), ("pump", False)):
        train, test = train_of(bank, machine), bank.select(machine, split="test")
        off = scores(name, context, train, test)
        on = scores(name, context, train, test, **{parameter: value})
        if parameter == "supplemental_bank":
            memory = on.pop("knn_supplemental")
            assert (memory <= on["knn"] + 1e-12).all()
            assert has_clips or np.array_equal(memory, on["knn"])
            assert all(np.array_equal(on[variant], off[variant]) for variant in off)  # nothing else changes
        elif has_clips:
            assert any(not np.array_equal(on[variant], off[variant]) for variant in off)
        elif parameter != "supplemental_class":  # its two classes are there, and empty
            assert all(np.array_equal(on[variant], off[variant]) for variant in off)


@pytest.mark.parametrize(
    ("parameter", "value"), [("noise_mix", 1.5), ("supplemental_class", 1), ("supplemental_bank", "yes")]
)
def test_a_wrong_value_is_refused(parameter: str, value: Any, context: Context) -> None:
    with pytest.raises(AsdRayError, match=parameter):
        family("embedding_knn").detector(context, **{parameter: value})


@pytest.mark.parametrize("value", [-0.5, float("nan"), True])
def test_a_wrong_factor_is_refused(value: Any, context: Context) -> None:
    with pytest.raises(AsdRayError, match="subtract_noise"):
        family("twfr_gmm").detector(context, subtract_noise=value)


@pytest.mark.parametrize(("name", "parameter", "value"), USES)
def test_a_use_does_not_suit_machines_without_such_clips(name: str, parameter: str, value: Any) -> None:
    row = {"machine": "fan", "domain": "source", "label": "normal", "attributes": "{}"}
    train = [{**row, "id": f"{n % 2:02d}", "split": "train", "clip": f"{n}.wav"} for n in range(8)]

    def asked(*kinds: str) -> tuple[str, str]:
        extra = [
            {**row, "id": "00", "split": "supplemental", "clip": kind, "attributes": f'{{"supplemental": "{kind}"}}'}
            for kind in kinds
        ]
        clips = StudyClips.of(pd.DataFrame([*train, *extra]), ["fan"], 0.1, RATE)
        params = {**family(name).search_space().paper, **QUICK[name], parameter: value}
        return reason_against(family(name), params, RATE)(clips), reason_against_draws(family(name), clips)(params)

    for kinds in ((), ("machine",), ("noise",)):
        suits = "noise" in kinds or ("machine" in kinds and parameter.startswith("supplemental"))
        first, drawn = asked(*kinds)
        assert first == drawn == ("" if suits else first)
        assert suits or first.startswith(f"{parameter} = {value} needs supplemental clips")


@pytest.mark.parametrize("name", QUICK)
def test_the_state_scores_files_without_the_dataset(
    name: str, bank: Bank, context: Context, score_again: Callable[..., dict[str, Any]]
) -> None:
    parameters = {parameter: value for one, parameter, value in USES if one == name}
    detector = family(name).detector(context, **QUICK[name], **parameters)
    list(detector.fit(train_of(bank, None)))
    test = bank.select(split="test")
    expected, found = detector.score(test), score_again(name, QUICK[name] | parameters, detector.state(), test)
    assert set(found) == set(expected)
    for variant, values in expected.items():
        np.testing.assert_allclose(found[variant], values, rtol=1e-5, atol=1e-6)


@pytest.fixture
def score_again() -> Callable[..., dict[str, Any]]:
    """The scores of the same sounds by a detector from a stored state that never sees a bank of files."""
    from asd_ray.clips.wave_bank import WaveBank
    from asd_ray.detectors.state_file import from_bytes, to_bytes
    from asd_ray.features import DirectFeatures

    def score(name: str, params: dict[str, Any], state: dict[str, Any], clips: ClipSet) -> dict[str, Any]:
        stored, _ = from_bytes(to_bytes(state, {}), "a state")
        detector = family(name).detector(replace(Context(), features=DirectFeatures()), **params)
        detector.load(stored)
        parts = []
        for machine in sorted(set(clips.frame["machine"])):
            own = clips.take((clips.frame["machine"] == machine).to_numpy())
            sounds = [own.samples(i) for i in range(len(own))]
            memory = WaveBank(sounds, machine=machine, rate=RATE, ids=list(own.frame["id"]))
            parts.append(detector.score(ClipSet(memory, np.arange(len(memory)))))
        return {variant: np.concatenate([part[variant] for part in parts]) for variant in parts[0]}

    return score
