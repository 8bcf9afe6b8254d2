"""The index of papers: the key and the place of each. A new paper is one line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from asd_ray.errors import unknown

if TYPE_CHECKING:
    from asd_ray.papers.paper import Paper

PAPERS: dict[str, str] = {
    "giri2020": "asd_ray.papers.giri2020:PAPER",
    "kim2021": "asd_ray.papers.kim2021:PAPER",
    "liu2022": "asd_ray.papers.liu2022:PAPER",
    "cho2022": "asd_ray.papers.cho2022:PAPER",
    "jiang2023": "asd_ray.papers.jiang2023:PAPER",
    "choi2024": "asd_ray.papers.choi2024:PAPER",
    "baseline2020": "asd_ray.papers.baselines:BASELINE_2020",
    "baseline2021": "asd_ray.papers.baselines:BASELINE_2021",
    "baseline2022": "asd_ray.papers.baselines:BASELINE_2022",
    "baseline2023": "asd_ray.papers.baselines:BASELINE_2023",
    "baseline2024": "asd_ray.papers.baselines:BASELINE_2024",
    "baseline2025": "asd_ray.papers.baselines:BASELINE_2025",
}


def find(key: str) -> Paper:
    """The paper of a key such as ``liu2022``. Its file is imported at the first call."""
    if key not in PAPERS:
        raise unknown("paper", key, PAPERS)
    module, _, name = PAPERS[key].partition(":")
    paper: Paper = getattr(importlib.import_module(module), name)
    return paper


def overview() -> Iterator[dict[str, Any]]:
    """One record per table of every paper; a paper of which no table is known has one record, too."""
    for key in PAPERS:
        paper = find(key)
        for table in paper.tables:
            yield {
                "paper": key,
                "by": paper.citation,
                "table": table.number,
                "dataset": table.dataset,
                "split": table.split,
                "rows": len(table.rows),
                "can be run": len(table.runnable),
            }
        if not paper.tables:
            yield {"paper": key, "by": paper.citation, "table": "none known", "rows": 0, "can be run": 0}
