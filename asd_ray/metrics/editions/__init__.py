"""One `Edition` per year of DCASE Task 2: machines, file names, cells, official score and submission files.

A new year is a file here (or a few lines in the file of its family of years) and a row in `table.py`.
"""

from asd_ray.metrics.editions._base import DOMAINS, CellGroup, CellRule, Edition
from asd_ray.metrics.editions.file_names import DECISION, SCORE, Cell, ClipNames, FileName, SubmissionFiles
from asd_ray.metrics.editions.rules import PER_DOMAIN, PER_ID, PER_SECTION
from asd_ray.metrics.editions.table import EDITIONS, latest_scored, scored_edition, scored_editions

__all__ = [
    "DECISION",
    "DOMAINS",
    "EDITIONS",
    "PER_DOMAIN",
    "PER_ID",
    "PER_SECTION",
    "SCORE",
    "Cell",
    "CellGroup",
    "CellRule",
    "ClipNames",
    "Edition",
    "FileName",
    "SubmissionFiles",
    "latest_scored",
    "scored_edition",
    "scored_editions",
]
