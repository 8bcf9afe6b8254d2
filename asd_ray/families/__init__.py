"""What is known of a family of detectors without loading PyTorch: the table, search spaces, identity, resources."""

from asd_ray.families.family import Family, family
from asd_ray.families.resources import Resources
from asd_ray.families.space import Space
from asd_ray.families.table import FAMILIES

__all__ = ["FAMILIES", "Family", "Resources", "Space", "family"]
