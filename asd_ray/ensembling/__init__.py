"""Ensembles: candidates are standardised, chosen by a recipe, and measured under every protocol."""

from asd_ray.ensembling.across_machines import across_machines
from asd_ray.ensembling.all_machines import Comparisons, choose_all
from asd_ray.ensembling.build import Builder, build
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.choose import choose, find_ways
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.ensemble_file import Stored, finals, read, stored, write
from asd_ray.ensembling.final import Comparison
from asd_ray.ensembling.metric import Gain, Metric
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.recipe_file import find_recipe, read_recipe, shipped_recipes
from asd_ray.ensembling.result import Ensemble, Member
from asd_ray.ensembling.scoring import scores_of
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ensembling.trust import TrustLevel, trust_level
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.ensembling.verifying import verify

__all__ = [
    "Builder",
    "Candidates",
    "Comparison",
    "Comparisons",
    "Ensemble",
    "EnsembleConfig",
    "Gain",
    "Member",
    "Metric",
    "Recipe",
    "Standardiser",
    "Stored",
    "Threshold",
    "TrustLevel",
    "TrustWarning",
    "across_machines",
    "build",
    "choose",
    "choose_all",
    "combine",
    "finals",
    "find_recipe",
    "find_ways",
    "load",
    "read",
    "read_recipe",
    "scores_of",
    "shipped_recipes",
    "stored",
    "trust_level",
    "verify",
    "write",
]
