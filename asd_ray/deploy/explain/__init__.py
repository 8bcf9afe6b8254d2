"""Where and when: which parts of a sound its score comes from."""

from asd_ray.deploy.explain.explaining import explain
from asd_ray.deploy.explain.explanation import Explanation
from asd_ray.deploy.explain.heat_map import Grid, HeatMap
from asd_ray.deploy.explain.regions import Region

__all__ = ["Explanation", "Grid", "HeatMap", "Region", "explain"]
