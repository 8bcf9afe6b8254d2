"""What is combined: candidates standardised, chosen by a recipe, measured under every protocol."""

from asd_ray.ensembling.build import Wishes, build, verify
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.ensemble_file import Ensemble, ensembles, finals, read, scores_of, write
from asd_ray.ensembling.recipe import Recipe, find_recipe, read_recipe, shipped_recipes
from asd_ray.ensembling.standardise import Standardiser

__all__ = [
    "Candidates",
    "Ensemble",
    "Recipe",
    "Standardiser",
    "Wishes",
    "build",
    "combine",
    "ensembles",
    "finals",
    "find_recipe",
    "load",
    "read",
    "read_recipe",
    "scores_of",
    "shipped_recipes",
    "verify",
    "write",
]
