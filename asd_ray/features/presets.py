"""Front ends of published systems, by name. Their conventions differ, so each has a name of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from asd_ray.errors import unknown
from asd_ray.features._base import FrontEnd
from asd_ray.features.faster import FasterLogMel
from asd_ray.features.raw import Raw
from asd_ray.features.spectral import Complex, LogMel, Magnitude

KINDS: dict[str, type[FrontEnd]] = {kind.KIND: kind for kind in (LogMel, FasterLogMel, Magnitude, Complex, Raw)}

_EPSILON = sys.float_info.epsilon  # the baselines' floor: -156.5 dB
_torchaudio_mel = partial(LogMel, scale="htk", norm=None, pad_mode="reflect")

PRESETS: dict[str, FrontEnd] = {
    # librosa conventions: slaney filters with area norm, zero padding, no top_db
    "baseline_2020": LogMel(floor=_EPSILON, floor_rule="add"),
    "baseline": LogMel(floor=_EPSILON, floor_rule="max"),  # 2021 to 2026, IDNN, MobileNetV2
    "aegan_ad": LogMel(n_fft=2048, floor=1e-10, top_db=80.0),  # librosa.power_to_db's defaults, per clip
    # torchaudio conventions: HTK filters without area norm, reflection, AmplitudeToDB("power")
    "stgram": _torchaudio_mel(seconds=10.0, short="repeat"),  # always 313 frames; the repetition is our choice
    "twfr": _torchaudio_mel(seconds=10.0),
    "cp_jku": _torchaudio_mel(center=False),
    "noisy_arcmix": LogMel(n_fft=2048, floor=_EPSILON, floor_rule="add", seconds=10.0, short="repeat"),
    "kim_complex": Complex(),  # 1024-point, 64 ms window, 32 ms overlap, 513 bins
    "magnitude": Magnitude(),
    "raw": Raw(),
    "raw_10s": Raw(seconds=10.0, short="repeat"),
}


def front_end(spec: str | Mapping[str, Any] | FrontEnd) -> FrontEnd:
    """A front end by a preset's name, from a dict such as ``{"kind": "log_mel", "n_fft": 2048}``, or as it is."""
    if isinstance(spec, FrontEnd):
        return spec
    if isinstance(spec, str):
        if spec not in PRESETS:
            raise unknown("front end", spec, PRESETS)
        return PRESETS[spec]
    fields = dict(spec)
    kind = fields.pop("kind", None)
    if kind not in KINDS:
        raise unknown("kind of front end", str(kind), KINDS)
    known = KINDS[kind].__dataclass_fields__
    for name in fields:
        if name not in known:
            raise unknown(f"parameter of {kind}", name, known)
    return KINDS[kind](**fields)
