"""What a front end is: a named, hashed, frozen object that turns batches of waves into features."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from asd_ray._precision import full_float32
from asd_ray.errors import AsdRayError

FULL_SCALE = 32768.0  # int16 samples become floats in [-1, 1), as soundfile, librosa and torchaudio read them


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Base of all kinds of front end. It has no state and no device: it computes on the device of its input.

    `seconds` cuts every clip to that length. With ``short="repeat"`` shorter clips are repeated up to it, for nets with
    a fixed input length. Without `seconds`, features are as long as their clips.
    """

    KIND: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1  # raised when the same parameters give different numbers

    rate: int = 16_000
    seconds: float | None = None
    short: str = "keep"  # or "repeat"

    def __post_init__(self) -> None:
        self._to_declared_types()
        must_be(self, "rate", self.rate >= 1, "at least 1 Hz")
        must_be(self, "short", self.short in ("keep", "repeat"), "'keep' or 'repeat'")
        must_be(self, "seconds", self.seconds is None or self.seconds * self.rate >= 1, "a sample or more, or None")
        must_be(self, "short", self.short == "keep" or self.seconds is not None, "'keep' unless seconds is given")

    def _to_declared_types(self) -> None:
        """Convert numbers so that ``seconds=10`` and ``seconds=10.0`` have one hash; reject True as a number."""
        for field in dataclasses.fields(self):
            value, declared = getattr(self, field.name), str(field.type).split(" | ")
            if isinstance(value, int) and not isinstance(value, bool) and "float" in declared:
                object.__setattr__(self, field.name, float(value))
            elif isinstance(value, float) and value.is_integer() and "int" in declared:
                object.__setattr__(self, field.name, int(value))
            elif type(value).__name__.replace("NoneType", "None") not in declared:
                must_be(self, field.name, False, " or ".join(declared))

    def to_dict(self) -> dict[str, Any]:
        """Flat and JSON-serialisable; `asd_ray.features.front_end` rebuilds the front end from it."""
        return {"kind": self.KIND, **dataclasses.asdict(self)}

    @property
    def hash(self) -> str:
        """Short hash of kind, version and all parameters: part of a trial's name and of cache keys."""
        text = json.dumps({"version": self.VERSION, **self.to_dict()}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def at(self, rate: int) -> Self:
        """This front end for another sample rate: its seconds, Hz and mel bands stay the same.

        At its own rate it returns itself, with the same hash.
        """
        converted: Self = self if rate == self.rate else _converted(self, rate)
        return converted

    def _at(self, rate: int) -> Self:
        return dataclasses.replace(self, rate=rate)

    def used_samples(self, samples: int) -> int:
        """How many of a clip's `samples` are used."""
        if self.seconds is None:
            return samples
        limit = round(self.seconds * self.rate)
        return limit if self.short == "repeat" else min(samples, limit)

    def frames(self, samples: int) -> int:
        """Number of frames of a clip of `samples`: 313 for 10 s at 16 kHz with hop 512, centred."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame, such as ``(128,)`` mels."""
        raise NotImplementedError

    def transform(self, waves: Tensor) -> Tensor:
        """[clips, samples] float waves of equal length -> [clips, frames, *shape]. Called by `__call__`."""
        raise NotImplementedError

    def __call__(self, waves: Tensor) -> Tensor:
        """[clips, samples] of equal length, int16 or float in [-1, 1) -> [clips, frames, *shape] on the same device.

        On a CPU the batch is computed in small blocks, so that the spectra fit into the processor's cache: about four
        times as fast as one pass over 64 clips.
        """
        if waves.ndim != 2:
            raise AsdRayError(f"a front end takes [clips, samples] but got a shape of {tuple(waves.shape)}")
        used = self.used_samples(waves.shape[1])
        if self.frames(waves.shape[1]) < 1:
            raise AsdRayError(
                f"clips of {waves.shape[1]} samples are too short for one frame of {self.KIND}; "
                f"remove them, or use a front end with seconds=… and short='repeat'"
            )
        with torch.no_grad(), full_float32():  # in training too, because features are stored and scored by
            block_clips = max(1, round(BLOCK / used)) if waves.device.type == "cpu" else len(waves)
            out = waves.new_empty((len(waves), self.frames(waves.shape[1]), *self.shape), dtype=torch.float32)
            for start in range(0, len(waves), block_clips):
                out[start : start + block_clips] = self.transform(
                    _floats(_fit(waves[start : start + block_clips], used))
                )
        return out


@lru_cache(maxsize=64)
def _converted(front_end: Any, rate: int) -> Any:
    """Cached, because a detector asks for its front end again and again."""
    return front_end._at(rate)


BLOCK = 480_000  # samples per block on a CPU: 3 clips of 10 s with about 8 MB of spectra


def must_be(owner: object, name: str, holds: bool, rule: str) -> None:
    """Raise an AsdRayError with `rule` and the value of `owner`'s parameter `name`, unless `holds`."""
    if not holds:
        raise AsdRayError(f"{name} of {type(owner).__name__} must be {rule} but got {getattr(owner, name)!r}")


def _fit(waves: Tensor, used: int) -> Tensor:
    """Waves repeated or cut to `used` samples."""
    if waves.shape[1] < used:
        waves = waves.repeat(1, -(-used // waves.shape[1]))
    return waves[:, :used]


def _floats(waves: Tensor) -> Tensor:
    """int16 scaled to [-1, 1); floats as they are."""
    return waves.float().mul_(1 / FULL_SCALE) if waves.dtype == torch.int16 else waves.float()
