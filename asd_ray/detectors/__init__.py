"""What is learned: the contract of a detector, and the families."""

from asd_ray.detectors._base import Context, Detector, Progress, Scores, State
from asd_ray.families import FAMILIES, Family, Resources, family

__all__ = ["FAMILIES", "Context", "Detector", "Family", "Progress", "Resources", "Scores", "State", "family"]
