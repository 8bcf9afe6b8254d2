"""Reports: a run's ensembles, candidates and studies as one page, and as JSON, CSV and Markdown."""

from asd_ray.reporting.compare import RunComparison, compare
from asd_ray.reporting.compare_page import write_comparison
from asd_ray.reporting.gather import gather
from asd_ray.reporting.write import Report, write, write_report

__all__ = ["Report", "RunComparison", "compare", "gather", "write", "write_comparison", "write_report"]
