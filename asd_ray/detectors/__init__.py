"""Detectors: the contract that every family keeps, and the families themselves."""

from asd_ray.detectors._base import Context, Detector, Progress, Scores, State
from asd_ray.families import FAMILIES, Family, Resources, family

__all__ = ["FAMILIES", "Context", "Detector", "Family", "Progress", "Resources", "Scores", "State", "family"]
