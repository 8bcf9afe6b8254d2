"""What was published: the tables of papers as data, row by row, with the settings that give each row here.

``find("liu2022").table("2").frame()`` is a DataFrame. Nothing here loads PyTorch, Ray or Optuna.
"""

from asd_ray.papers.index import PAPERS, find, overview
from asd_ray.papers.measure import Measure, average
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow
from asd_ray.papers.table import PaperTable

__all__ = ["PAPERS", "Measure", "Member", "Paper", "PaperRow", "PaperTable", "average", "find", "overview"]
