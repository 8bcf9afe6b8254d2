"""What detectors make of supplemental clips: clean sound of a machine, and noise without the machine (DCASE 2025).

Four uses, each off unless a parameter asks for it. All of them need the clips in `fit` only: what they learn is in the
state. A machine without clips of the kind learns as if the use were off, but that a classifier has two empty classes.

    noise_mix           share of the training waves that get noise of their machine, from a random place in a random
                        clip, 0 to 20 dB below the wave
    supplemental_class  two further classes for a classifier to learn, clean sound and noise, of all machines together;
                        neither is ever a test clip's own class
    supplemental_bank   the variant `knn_supplemental`: the cosine distance to the nearest of the reference clips of the
                        id and of the supplemental clips of its machine, so that an embedding near one of these is
                        normal, too; without SMOTE
    subtract_noise      how many times the mean noise spectrum of the machine is subtracted from the power spectra, of
                        which at least 1 % is left

That systems of 2025 use these clips is known, but not how. All details are chosen here; the last use is the spectral
subtraction of Boll, IEEE Transactions on Acoustics, Speech, and Signal Processing 27 (2), 1979, on mel bands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.table import CLEAN, NOISE, supplemental_kinds
from asd_ray.detectors._base import Context, State
from asd_ray.detectors.parts import microphones
from asd_ray.detectors.parts.augment import NEPERS
from asd_ray.detectors.parts.backends import Backends, Knn, ids_of, targets_of
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.families.supplemental import USES, why_without_effect
from asd_ray.features import Features, FrontEnd
from asd_ray.features._base import FULL_SCALE, must_be
from asd_ray.features.direct import FeatureSource

KINDS = (CLEAN, NOISE)  # the further classes, in their order
VARIANT = "knn_supplemental"
LEVELS_DB = (0.0, 20.0)  # the wave over the noise that is mixed into it
STREAM = 2025  # of the random numbers of NoiseMix, beside the seed; families use small numbers for streams of theirs
LEFT = 0.01  # share of the power that subtraction leaves
NOISE_STATE = "subtracted/noise"  # in a detector's state; no machine can have this name
COUNTS = "supplemental"  # of `attrs` of the table that `suits` gets

Rows = tuple[Tensor, npt.NDArray[np.intp]]  # embeddings, and the clip of each: one per clip, or several


def clips_of_kind(train: ClipSet, kind: str) -> ClipSet:
    """The supplemental clips of one kind of the machines in `train`."""
    clips = train.supplemental
    return clips.take(np.array([own == kind for own in supplemental_kinds(clips.frame)], bool))


def why_unsuited(owner: object, train: pd.DataFrame) -> str:
    """For `suits`: why the owner's parameters need supplemental clips that these machines lack; "" if they do not."""
    params = {name: getattr(owner, name) for name in USES if hasattr(owner, name)}
    return why_without_effect(params, train.attrs.get(COUNTS))


def check_switches(owner: object, *names: str) -> None:
    """The parameters must be true or false."""
    for name in names:
        must_be(owner, name, isinstance(getattr(owner, name), bool), "true or false")


def check_factor(owner: object, name: str) -> None:
    """The parameter must be a number from 0."""
    value = getattr(owner, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    must_be(owner, name, is_number and 0 <= value < math.inf, "0 or more")


def further_classes(is_on: bool) -> int:
    """How many classes `supplemental_class` adds to the head, after all others."""
    return len(KINDS) if is_on else 0


def with_further_classes(train: ClipSet, labels: Tensor, classes: int, is_on: bool) -> tuple[ClipSet, Tensor]:
    """The clips to train on and their class numbers: `labels` of the `classes`, then those of supplemental clips."""
    if not is_on:
        return train, labels
    rows, numbers = [train.rows], [labels]
    for number, kind in enumerate(KINDS, start=classes):
        clips = clips_of_kind(train, kind)
        rows.append(clips.rows)
        numbers.append(torch.full((len(clips),), number, dtype=labels.dtype))
    return train.at_rows(np.concatenate(rows)), torch.cat(numbers)


class Source(Protocol):
    """`Waves`, or another source of waves: positions of its clips -> [n, samples] on the device."""

    samples: int
    device: torch.device


class NoiseMix:
    """Mixes noise into a share of the waves of a batch. It has its own random stream, so all other draws stay alike.

    Where the waves are those of a near microphone less those of a far one, `less_far` subtracts them, and is applied
    to noise of both, from the same place in a clip.
    """

    def __init__(
        self,
        train: ClipSet,
        waves: Source,
        share: float,
        seed: int,
        less_far: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.share, self.samples, self.device = share, waves.samples, waves.device
        self.clips = clips_of_kind(train, NOISE) if share else train.take(np.zeros(0, np.intp))
        self.less_far = less_far
        self._channels = (
            [self.clips] if less_far is None else microphones.heard_channels(self.clips, microphones.NEAR_FAR)
        )
        self.rng = np.random.default_rng([seed, STREAM])
        machines = self.clips.frame["machine"].to_numpy(str)
        of_machine = {machine: np.flatnonzero(machines == machine) for machine in set(machines.tolist())}
        self._noise = [of_machine.get(machine) for machine in train.frame["machine"]]  # of each training clip

    def __call__(self, waves: Tensor, positions: Tensor) -> Tensor:
        """`waves` of the clips at `positions`, on the CPU; positions beyond the training clips are left alone."""
        if not len(self.clips):
            return waves
        noise = np.zeros((len(self._channels), len(positions), self.samples), np.int16)
        is_mixed = self.rng.random(len(positions)) < self.share
        levels = self.rng.uniform(*LEVELS_DB, len(positions)).astype(np.float32)
        places = self.rng.random((len(positions), 2))
        for n, position in enumerate(positions.tolist()):
            own = self._noise[position] if is_mixed[n] and position < len(self._noise) else None
            if own is not None:
                clip = int(own[int(places[n, 0] * len(own))])
                for channel, clips in enumerate(self._channels):
                    noise[channel, n] = self._cut(clips.samples(clip), places[n, 1])
        near, *far = to_device(torch.from_numpy(noise), self.device).float().mul_(1 / FULL_SCALE)
        added = near if self.less_far is None else self.less_far(near, *far)
        gains = to_device(torch.from_numpy(10 ** (-levels / 20)), self.device)[:, None] * _rms(waves)
        return waves + added * (gains / _rms(added).clamp_min(1e-12))

    def _cut(self, clip: npt.NDArray[np.int16], place: float) -> npt.NDArray[np.int16]:
        """As many samples as a wave has, from `place` of the clip on; a shorter clip is repeated."""
        repeated = np.resize(np.roll(clip, -int(place * len(clip))), self.samples)
        return repeated.astype(np.int16, copy=False)


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(1, keepdim=True).sqrt()


def memory_of(train: ClipSet, rows: Rows, embed: Callable[[ClipSet], Rows]) -> Backends:
    """The backend `knn_supplemental`, fitted to the `rows` of the training clips and to those of supplemental ones."""
    memory, extra = new_memory(), train.supplemental
    (embeddings, clip), clip_ids = rows, ids_of(train)
    machine_of = dict(zip(clip_ids, train.frame["machine"], strict=True))
    parts, ids = [embeddings], [clip_ids[n] for n in clip.tolist()]
    targets = [targets_of(train)[torch.from_numpy(clip)]]
    if len(extra):
        extra_embeddings, extra_clip = embed(extra)
        machines = extra.frame["machine"].to_numpy(str)[extra_clip]
        for id, machine in machine_of.items():
            own = np.flatnonzero(machines == machine)
            parts.append(extra_embeddings[torch.from_numpy(own).to(embeddings.device)])
            targets.append(torch.zeros(len(own), dtype=torch.bool))
            ids += [id] * len(own)
    memory.fit(torch.cat(parts), ids, torch.cat(targets))
    return memory


def new_memory() -> Backends:
    """The backend `knn_supplemental` before it is fitted, or for its stored state."""
    return Backends({VARIANT: Knn()})


class NoiseSubtraction:
    """The features of another source, log-mel in dB, less the mean noise of each machine; a `FeatureSource`.

    The features that the source computes and stores are those without subtraction, so its cache needs no other keys.
    """

    def __init__(self, source: FeatureSource, factor: float) -> None:
        self.source, self.factor = source, factor
        self.noise: dict[str, Tensor] = {}  # machine of the training clips -> [mels], power; empty: nothing to subtract

    def learn(self, front_end: FrontEnd, train: ClipSet, device: torch.device) -> None:
        """Take the mean power spectrum of each machine's noise; it is 0 for a machine without such clips."""
        clips = clips_of_kind(train, NOISE) if self.factor else train.take(np.zeros(0, np.intp))
        self.noise = {}
        if not len(clips):
            return
        features = self.source.get(front_end, clips, device=device)
        powers = np.stack([np.exp(NEPERS * features.clip(i).astype(np.float64)).mean(0) for i in range(len(clips))])
        machines = clips.frame["machine"].to_numpy(str)
        for machine in train.frame["machine"].unique():
            own = powers[machines == machine]
            self.noise[str(machine)] = torch.from_numpy(own.mean(0) if len(own) else np.zeros(powers.shape[1]))

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        features = self.source.get(front_end, clips, device=device, dtype=dtype)
        if not self.noise:
            return features
        cleaned = [
            self.subtracted(torch.from_numpy(np.array(features.clip(i))), machine).numpy()
            for i, machine in enumerate(clips.frame["machine"])
        ]
        joined = np.concatenate(cleaned) if cleaned else np.empty((0, *front_end.shape), dtype)
        starts = np.cumsum(features.lengths) - features.lengths
        return Features([joined], np.zeros(len(clips)), starts, features.lengths)

    def subtracted(self, frames: Tensor, machine: str) -> Tensor:
        """[…, mels] in dB of a machine's clips, less its noise; unchanged if the machine was not in training."""
        noise = self.noise.get(machine)
        return frames if noise is None else less_noise(frames, noise.to(frames.device), self.factor)

    def state(self) -> State:
        """A part of the detector's state; nothing where nothing is subtracted."""
        return {NOISE_STATE: dict(self.noise)} if self.noise else {}

    def load(self, state: State) -> None:
        """From the detector's state."""
        self.noise = {machine: noise.cpu() for machine, noise in state.get(NOISE_STATE, {}).items()}


def heard_without_noise(owner: object, context: Context) -> tuple[Context, NoiseSubtraction]:
    """A context with the features that a detector's `microphone`, `far_share` and `subtract_noise` ask for.

    The subtraction in it is to `learn` when the detector is fitted. The parameters are checked.
    """
    microphones.check_microphone(owner)
    check_factor(owner, "subtract_noise")
    microphone, far_share, factor = (getattr(owner, name) for name in ("microphone", "far_share", "subtract_noise"))
    heard = microphones.listening(context, microphone, far_share)
    noise = NoiseSubtraction(heard.features, factor)
    return replace(heard, features=noise), noise


def less_noise(frames: Tensor, noise: Tensor, factor: float) -> Tensor:
    """Frames in dB less `factor` times a power spectrum; at least `LEFT` of their power is left."""
    share = 1 - factor * noise * (-NEPERS * frames.double()).exp()
    return (frames + share.clamp(min=LEFT).log10() * 10).to(frames.dtype)
