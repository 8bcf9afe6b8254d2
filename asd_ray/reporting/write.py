"""The report's files, each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from asd_ray.reporting.html import page
from asd_ray.reporting.markdown import markdown
from asd_ray.reporting.tables import tables

if TYPE_CHECKING:
    from asd_ray.ledger import RunLayout


def write(facts: Mapping[str, Any], layout: RunLayout, folder: str) -> list[str]:
    """Into a folder of the disk, or of the S3, of `layout`; gives the paths, the page first."""
    files, made = layout.files(), []
    for name, content in list(contents(facts)):  # all of it before any of it is written
        path = layout.report_file(folder, name)
        files.put(path, content.encode())
        made.append(layout.url(path))
    return made


def contents(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "report.html", page(facts)
    yield "report.json", json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
    yield "report.md", markdown(facts)
    yield from tables(facts)
