"""Features of clips: front ends, windows of frames, and the node's feature cache."""

from asd_ray.features._base import FrontEnd
from asd_ray.features.cache import FeatureCache
from asd_ray.features.direct import DirectFeatures, FeatureSource
from asd_ray.features.extract import Features, extract
from asd_ray.features.faster import FasterLogMel
from asd_ray.features.framing import Windows, images, per_clip, vectors, windows_of
from asd_ray.features.presets import KINDS, PRESETS, front_end
from asd_ray.features.raw import Raw
from asd_ray.features.spectral import Complex, LogMel, Magnitude

__all__ = [
    "KINDS",
    "PRESETS",
    "Complex",
    "DirectFeatures",
    "FasterLogMel",
    "FeatureCache",
    "FeatureSource",
    "Features",
    "FrontEnd",
    "LogMel",
    "Magnitude",
    "Raw",
    "Windows",
    "extract",
    "front_end",
    "images",
    "per_clip",
    "vectors",
    "windows_of",
]
