"""What is combined: candidates standardised, chosen by a recipe, measured under every protocol."""

from asd_ray.ensembling.build import Builder, build
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.ensemble_file import Ensemble, Stored, finals, read, scores_of, stored, write
from asd_ray.ensembling.recipe import Recipe, find_recipe, read_recipe, shipped_recipes
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.verifying import verify
from asd_ray.ensembling.wishes import Wishes

__all__ = [
    "Builder",
    "Candidates",
    "Ensemble",
    "Recipe",
    "Standardiser",
    "Stored",
    "Wishes",
    "build",
    "combine",
    "finals",
    "find_recipe",
    "load",
    "read",
    "read_recipe",
    "scores_of",
    "shipped_recipes",
    "stored",
    "verify",
    "write",
]
