"""The report's files, each written whole or not at all; a file that is not of a report is never replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.reporting.html import GENERATOR, page
from asd_ray.reporting.markdown import markdown
from asd_ray.reporting.tables import tables
from asd_ray.storage.open_files import open_files
from asd_ray.storage.places import is_address, obstacle
from asd_ray.storage.run_layout import RunLayout
from asd_ray.storage.s3 import is_s3

if TYPE_CHECKING:
    from asd_ray.storage.files import Files

CURE = "name another folder with --out"
HEAD = 4096  # bytes, within which a file says whose it is
MARKS = {  # the files that tell a folder with a report of ours, and what they hold
    "report.html": (f'<meta name="generator" content="{GENERATOR}">', "<footer>Written by asd-ray report from "),
    "report.json": ('{"format":"asd_ray-report/',),
}


def target_of(out: str, run: RunLayout) -> RunLayout:
    """The folder that --out names, checked before anything is computed."""
    if not out:
        raise AsdRayError("--out is empty; name a folder, or leave it out: the report goes into the run's folder")
    if not is_s3(out) and is_address(out):
        raise AsdRayError(f"--out {out}: a report goes into a local folder or s3://bucket/folder; {CURE}")
    if not is_s3(out) and (rule := obstacle(Path(out).expanduser().absolute(), folder=True)):
        raise AsdRayError(f"--out {out}: a report cannot be there: {rule}; {CURE}")
    target = RunLayout(out)
    if target.is_s3 == run.is_s3:
        refuse_own_folder(target.base, CURE, run)
    return target


def write(facts: Mapping[str, Any], layout: RunLayout, folder: str) -> list[str]:
    """Into a folder of the disk, or of the S3, of `layout`; gives the paths, the page first."""
    files = open_files(layout, CURE)
    made = {layout.report_file(folder, name): content for name, content in contents(facts)}
    _refuse_foreign(files, list(made))
    for path, content in made.items():  # all were made before any is written
        files.put(path, content.encode("utf-8", "backslashreplace"))
    return [layout.url(path) for path in made]


def contents(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "report.html", page(facts)
    yield "report.json", json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
    yield "report.md", markdown(facts)
    yield from tables(facts)


def _refuse_foreign(files: Files, paths: Sequence[str]) -> None:
    """A folder that holds files of these names must hold a report of ours, by the marks of its page or its JSON."""
    there = [path for path in paths if files.stat(path) is not None]
    marked = {path: _is_ours(files, path) for path in there if path.rpartition("/")[2] in MARKS}
    if there and not (marked and all(marked.values())):
        foreign = next((path for path, ours in marked.items() if not ours), there[0])
        raise AsdRayError(
            f"{files.layout.url(foreign)}: is there and was not written by asd-ray report, which would replace it; "
            f"{CURE}, or move it away"
        )


def _is_ours(files: Files, path: str) -> bool:
    """By the beginning of the file, or by its end: earlier versions marked the page in its footer alone."""
    if not files.layout.is_s3 and not Path(path).is_file():
        return False
    try:
        with files.open(path) as file:
            head = file.read(HEAD)
            file.seek(max(0, file.size() - HEAD))
            said = head + file.read(HEAD)
    except OSError:
        return False
    return any(mark.encode() in said for mark in MARKS[path.rpartition("/")[2]])
