"""Reports: a run's ensembles, candidates and studies as one page, and as JSON, CSV and Markdown."""

from asd_ray.reporting.gather import gather
from asd_ray.reporting.write import Report, write, write_report

__all__ = ["Report", "gather", "write", "write_report"]
