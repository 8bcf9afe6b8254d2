"""Tables of papers, run: which searches give the rows here, and their numbers beside the published ones.

`Run.paper` and ``asd-ray paper --data`` call `reproduce`. The trials are those of an ordinary search.
"""

from asd_ray.experiments.measuring import Conditions
from asd_ray.experiments.plan import NothingToRun, PlannedRow, TablePlan, Training, plan_table
from asd_ray.experiments.reproduce import Experiment, reproduce
from asd_ray.experiments.result import Number, PaperResult

__all__ = [
    "Conditions",
    "Experiment",
    "NothingToRun",
    "Number",
    "PaperResult",
    "PlannedRow",
    "TablePlan",
    "Training",
    "plan_table",
    "reproduce",
]
