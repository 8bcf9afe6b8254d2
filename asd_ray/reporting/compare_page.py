"""The comparison of runs as files: a page and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from asd_ray.reporting import text
from asd_ray.reporting.compare import RunComparison
from asd_ray.reporting.html import GENERATOR, STYLES, environment, together
from asd_ray.reporting.terms import Terms
from asd_ray.reporting.write import target_of, write_texts
from asd_ray.storage.run_layout import RunLayout

FOLDER = "comparison"  # where the files go by default, beside the runs' own folders


def write_comparison(comparison: RunComparison, out: str | Path = FOLDER) -> list[str]:
    """Write the files to the folder or s3:// address `out`; returns their paths, the page first."""
    layout, *_ = [target_of(str(out), RunLayout(run)) for run in comparison.runs]  # no run's own folder takes them
    files = {layout.report_file(layout.base, name): content for name, content in contents(comparison)}
    return write_texts(files, layout)


def contents(comparison: RunComparison) -> Iterator[tuple[str, str]]:
    """Yield the names of the files and their contents."""
    yield "comparison.html", page(comparison)
    stored = json.dumps(comparison.to_json(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    yield "comparison.json", stored + "\n"


def page(comparison: RunComparison) -> str:
    of_page = environment()
    of_page.globals |= {"generator": GENERATOR, "short_names": text.SHORT, "term": Terms()}
    return of_page.get_template("compare.html").render(c=comparison, style=together(STYLES))
