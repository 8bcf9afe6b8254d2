"""A bundle: an ensemble with what its members have learned. It scores new sound, without Ray and without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from asd_ray._precision import full_float32
from asd_ray.clips.audio import ALL, UnreadableClip
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.sound_profile import SoundProfile
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy import bundle_file
from asd_ray.deploy.calibration import Calibration
from asd_ray.deploy.detectors import load_detectors
from asd_ray.deploy.result import ClipScore, Samples
from asd_ray.deploy.sound import Sound, unlike
from asd_ray.detectors import Detector
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.result import Ensemble
from asd_ray.errors import AsdRayError
from asd_ray.features import DirectFeatures

BATCH_SAMPLES = 32 * 160_000  # samples that are scored at once: 32 clips of 10 s, whose features take some 100 MB
SECONDS = 10.0  # of a window of a stream, where a bundle does not know the length of its training clips

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BundleMember:
    """One member of the ensemble: a variant of a detector."""

    name: str  # of the trial
    trial: str
    family: str
    variant: str
    weight: float
    detector: Detector


@dataclass(frozen=True)
class Bundle:
    """``Bundle.load("fan.bundle").score("new.wav")``. A changed threshold or calibration gives a new `Bundle`."""

    ensemble: Ensemble
    calibration: Calibration
    detectors: Mapping[str, Detector]  # trial -> detector
    profiles: Mapping[str, SoundProfile]  # id -> profile of its training clips; "" for all
    rate: int  # Hz of the samples that detectors take
    channel: int | str
    features: DirectFeatures  # shared by the detectors
    folder: Path
    created: str  # ISO 8601

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "cpu", families: Sequence[type] = ()) -> Self:
        """Read a bundle's folder and check it. `families` are classes of your own that cannot be imported by name."""
        contents = bundle_file.read(path)
        facts, where = contents.facts, str(contents.folder / bundle_file.FACTS)
        features = DirectFeatures()
        return cls(
            ensemble=contents.ensemble,
            calibration=Calibration.from_json(facts["calibration"], contents.ensemble, where),
            detectors=load_detectors(contents, device, features, families),
            profiles={id: SoundProfile.from_json(profile, where) for id, profile in facts["profiles"].items()},
            rate=facts["rate"],
            channel=facts["channel"],
            features=features,
            folder=contents.folder,
            created=facts.get("created", ""),
        )

    @property
    def machine(self) -> str:
        return self.ensemble.machine

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(id for id in self.profiles if id))

    @property
    def threshold(self) -> float:
        return self.calibration.threshold.value

    @property
    def seconds(self) -> float:
        """The usual length of the training clips: their median."""
        profile = self.profiles.get("")
        return profile.usual_seconds if profile else SECONDS

    @cached_property
    def members(self) -> tuple[BundleMember, ...]:
        return tuple(
            BundleMember(m.name, m.trial, m.family, m.variant, m.weight, self.detectors[m.trial])
            for m in self.ensemble.members
        )

    def normal_scores(self, id: str) -> Floats:
        """The ensemble's scores of normal clips of an id, ascending; of all ids for an unknown one."""
        return self.calibration.scores_of(id)

    def normal_profile(self, id: str) -> Floats | None:
        """The median magnitude of normal sound in each frequency bin; None if the bundle has no sound profiles."""
        profile = self.profiles.get(id, self.profiles.get(""))
        return None if profile is None else np.asarray(10 ** (np.array(profile.spectrum_db) / 20))

    def with_threshold(self, value: float) -> Self:
        """The same bundle with another threshold."""
        return replace(self, calibration=self.calibration.with_threshold(value))

    def with_false_alarms(self, share: float) -> Self:
        """The same bundle with the threshold that this share of normal clips exceeds, such as 0.01."""
        return replace(self, calibration=self.calibration.with_false_alarms(share))

    def recalibrated(self, waves: Mapping[str, Sequence[Samples]]) -> Self:
        """The same detectors with units, threshold and usual scores from new normal sound: id -> waves at `rate`.

        Ids without new sound keep their units. Sound of the id "" stands for all ids, and replaces everything.
        """
        ids = [id for id, own in waves.items() for _ in own]
        if not ids:
            raise AsdRayError("a bundle cannot be calibrated with no sound; give normal recordings")
        parts, frames = [], []
        for block in _blocks([wave for own in waves.values() for wave in own]):
            clips = self._clips([wave for _, wave in block], [ids[at] for at, _ in block])
            parts.append(self.raw_scores(clips))
            frames.append(clips.frame[["id", "domain"]])
        import pandas as pd

        raw, frame = np.concatenate(parts, axis=1), pd.concat(frames, ignore_index=True)
        learned = Calibration.of_scores(self.ensemble, raw, frame)
        given = sorted(set(ids))
        new = learned if "" in given else learned.kept_for_others(self.calibration, given)
        return replace(self, calibration=new)

    def save(self, out: str | Path) -> Path:
        """Write this bundle, with its present units and threshold, to another folder (or to its own)."""
        from asd_ray.deploy.writing import write_calibrated

        return write_calibrated(out, self.folder, self.calibration)

    # -- scoring -------------------------------------------------------------------------------------------------

    def score(
        self, sound: str | Path | npt.ArrayLike, rate: int | None = None, *, id: str | None = None, domain: str = ""
    ) -> ClipScore:
        """Score a file, or an array of samples at `rate` Hz. `id` is the machine's id; by default any of them."""
        try:
            if isinstance(sound, str | Path):
                decoded = Sound.read(sound, self.rate, self.channel)
            else:
                decoded = Sound.of_array(sound, rate, self.rate, self.channel)
        except UnreadableClip as error:
            place = f"{sound}: " if isinstance(sound, str | Path) else "this sound "
            raise AsdRayError(f"{place}{error}") from error
        return self.score_sounds([decoded], [id or self.only_id], [domain])[0]

    @property
    def only_id(self) -> str:
        """The id of a machine that has one; "" for several."""
        return self.ids[0] if len(self.ids) == 1 else ""

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        """Score sounds that are at `rate` already, int16, [samples], or [channels, samples] if `channel` is "all"."""
        sounds = [Sound(name, wave, self.rate) for name, wave in zip(names or [""] * len(waves), waves, strict=True)]
        return self.score_sounds(sounds, [id or self.only_id] * len(sounds))

    def score_sounds(
        self, sounds: Sequence[Sound], ids: Sequence[str], domains: Sequence[str] | None = None
    ) -> list[ClipScore]:
        """Score decoded sounds, each as a clip of its id. Features are computed for some 30 clips of 10 s at a time."""
        scores: list[ClipScore] = []
        for block in _blocks([sound.samples for sound in sounds]):
            rows = [at for at, _ in block]
            own_domains = None if domains is None else [domains[at] for at in rows]
            clips = self._clips([wave for _, wave in block], [ids[at] for at in rows], own_domains)
            scores += self._scored([sounds[at] for at in rows], clips)
        return scores

    def raw_scores(self, clips: ClipSet) -> Floats:
        """The members' own scores, [members, clips]: what the ledger holds of them."""
        with full_float32():
            by_trial = {trial: detector.score(clips) for trial, detector in self.detectors.items()}
        self.features.forget()
        return np.stack([np.asarray(by_trial[m.trial][m.variant], np.float64) for m in self.ensemble.members])

    def _scored(self, sounds: Sequence[Sound], clips: ClipSet) -> list[ClipScore]:
        units = self.calibration.statistics(self.raw_scores(clips), clips.frame)
        weights, names = [m.weight for m in self.members], [f"{m.name} {m.variant}" for m in self.members]
        combined = combine(units, self.ensemble.combine, weights, names=names, clips=clips.frame["clip"].tolist())
        return [
            ClipScore(
                name=sound.name,
                id=id,
                seconds=round(len(sound.first_channel) / self.rate, 4),
                score=float(score),
                share_below=_share_below(self.normal_scores(id), float(score)),
                threshold=self.threshold,
                members=dict(zip(names, own.tolist(), strict=True)),
                warnings=unlike(sound, self.rate, self.profiles.get(id, self.profiles.get(""))),
            )
            for sound, id, score, own in zip(sounds, clips.frame["id"], combined, units.T, strict=True)
        ]

    @property
    def channels(self) -> int:
        """How many channels the detectors take: those of the training clips with ``--channel all``, else 1."""
        if self.channel != ALL or "" not in self.profiles:
            return 1
        return max(self.profiles[""].channels)

    def check_channel(self, channel: int | str, channels: int | None = None) -> None:
        """Raise if the detectors need every channel and a source gives only `channel`, or has other `channels`."""
        if self.channels == 1:
            if channel == ALL and channels not in (None, 1):
                raise AsdRayError(
                    f"--channels {channels}: the detectors of {self.machine} listen to one channel; send samples of "
                    "one, or choose one of them, such as --channel 0"
                )
            return
        need = f"the detectors of {self.machine} listen to {self.channels} channels"
        if channel != ALL:
            raise AsdRayError(f"--channel {channel}: {need}; leave the option out")
        if channels not in (None, self.channels):
            raise AsdRayError(f"--channels {channels}: {need}; send samples of {self.channels} channels, interleaved")

    def _clips(self, waves: Sequence[Samples], ids: Sequence[str], domains: Sequence[str] | None = None) -> ClipSet:
        for wave in waves:
            if (given := 1 if wave.ndim == 1 else len(wave)) != self.channels:
                raise AsdRayError(
                    f"sound of {_channels(given)}, where the training clips have {_channels(self.channels)}; record as "
                    "for the training"
                )
        for text in {*ids, *(domains or ())}:
            if not text.isascii() and text.encode(errors="replace").decode() != text:  # half of a surrogate pair
                raise AsdRayError(f"the id {text!r} is not UTF-8 text; name one of {', '.join(self.ids) or 'none'}")
        bank = WaveBank(waves, machine=self.machine, rate=self.rate, ids=ids, domains=domains)
        return ClipSet(bank, np.arange(len(waves)))


def _blocks(waves: Sequence[Samples]) -> Iterator[list[tuple[int, Samples]]]:
    """(position, wave) of consecutive sounds that are scored at once: BATCH_SAMPLES at most, or one sound."""
    block: list[tuple[int, Samples]] = []
    samples = 0
    for at, wave in enumerate(waves):
        if block and samples + wave.size > BATCH_SAMPLES:
            yield block
            block, samples = [], 0
        block.append((at, wave))
        samples += wave.size
    if block:
        yield block


def _channels(number: int) -> str:
    return "1 channel" if number == 1 else f"{number} channels"


def _share_below(normal: Floats, score: float) -> float:
    return float(np.searchsorted(normal, score, "left")) / len(normal)
