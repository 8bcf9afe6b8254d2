"""Write the report's files, completely or not at all. Files that are not from a report are never replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.reporting.gather import Facts, as_json, gather
from asd_ray.reporting.html import GENERATOR, page
from asd_ray.reporting.markdown import markdown
from asd_ray.reporting.media import Media
from asd_ray.reporting.tables import tables
from asd_ray.storage.open_files import open_files
from asd_ray.storage.places import is_address, obstacle
from asd_ray.storage.run_layout import RunLayout
from asd_ray.storage.s3 import is_s3

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger
    from asd_ray.storage.files import Files

CURE = "name another folder with --out"
HEAD = 1 << 15  # bytes at each end of a file that are searched for its mark; the page's scripts follow its footer
MARKS = {  # the files that mark a folder as one of our reports, and what they contain
    "report.html": (f'<meta name="generator" content="{GENERATOR}">', "<footer>Written by asd-ray report from "),
    "report.json": ('{"format":"asd_ray-report/',),
    "comparison.html": (f'<meta name="generator" content="{GENERATOR}">',),
    "comparison.json": ('{"format":"asd_ray-comparison/',),
}


@dataclass(frozen=True)
class Report:
    """The result of `write_report`."""

    files: tuple[str, ...]  # paths or s3:// addresses, the page first
    left_out: tuple[str, ...]  # reasons why machines with a final ensemble are not in the report
    not_read: tuple[str, ...]  # reasons why other ensemble files are not in it
    notes: tuple[str, ...] = ()  # sounds and maps that are not in it, and why

    @property
    def page(self) -> str:
        return self.files[0]


def write_report(
    ledger: Ledger, out: str | Path | None = None, media_of: Callable[[Facts], Media] | None = None
) -> Report:
    """Write the report of a run to the folder or s3:// address `out`, by default to the run's own folder.

    `media_of` makes the sounds and pictures of the page from the facts; it is called when it is known that the report
    can be written. Raises an AsdRayError if no machine has a usable final ensemble, or if `out` holds files that are
    not a report's.
    """
    run = ledger.layout
    target = None if out is None else target_of(str(out), run)
    facts = gather(ledger)
    layout, folder = (target, target.base) if target else (run, run.report)
    media = None
    if media_of is not None:
        check_replaceable(facts, layout, folder)
        media = media_of(facts)
    files = write(facts, layout, folder, media)
    notes = [f"{machine}: {note}" for machine, own in (media.notes if media else {}).items() for note in own]
    return Report(tuple(files), tuple(facts["left_out"]), tuple(facts["not_read"]), tuple(notes))


def target_of(out: str, run: RunLayout) -> RunLayout:
    """The folder of --out. Raises an AsdRayError if no report can be there."""
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


def check_replaceable(facts: Facts, layout: RunLayout, folder: str) -> None:
    """Raise an AsdRayError if the folder holds files that `write` would refuse to replace."""
    names = [name for name, _ in contents(facts)]
    _refuse_foreign(open_files(layout, CURE), [layout.report_file(folder, name) for name in names])


def write(facts: Facts, layout: RunLayout, folder: str, media: Media | None = None) -> list[str]:
    """Write to a folder on the disk, or on the S3, of `layout`; returns the paths, the page first."""
    return write_texts({layout.report_file(folder, name): text for name, text in contents(facts, media)}, layout)


def write_texts(texts: Mapping[str, str], layout: RunLayout) -> list[str]:
    """Write path -> text, completely or not at all; returns the paths. Foreign files are never replaced."""
    files = open_files(layout, CURE)
    _refuse_foreign(files, list(texts))
    for path, text in texts.items():  # all of them exist before the first is written
        files.put(path, text.encode("utf-8", "backslashreplace"))
    return [layout.url(path) for path in texts]


def contents(facts: Facts, media: Media | None = None) -> Iterator[tuple[str, str]]:
    """Yield the names of the files and their contents."""
    yield "report.html", page(facts, media)
    yield (
        "report.json",
        json.dumps(as_json(facts, media), allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n",
    )
    yield "report.md", markdown(facts, media)
    yield from tables(facts)


def _refuse_foreign(files: Files, paths: Sequence[str]) -> None:
    """Raise an AsdRayError if files of these names exist and the marks of page and JSON show no report of ours."""
    existing = [path for path in paths if files.stat(path) is not None]
    marked = {path: _is_ours(files, path) for path in existing if path.rpartition("/")[2] in MARKS}
    if existing and not (marked and all(marked.values())):
        foreign = next((path for path, ours in marked.items() if not ours), existing[0])
        raise AsdRayError(
            f"{files.layout.url(foreign)} exists and was not written by asd-ray report, which would replace it; "
            f"{CURE}, or move it away"
        )


def _is_ours(files: Files, path: str) -> bool:
    """Whether the start or the end of the file has our mark. Earlier versions marked the page only in its footer."""
    if not files.layout.is_s3 and not Path(path).is_file():
        return False
    try:
        with files.open(path) as file:
            ends = file.read(HEAD)
            file.seek(max(0, file.size() - HEAD))
            ends += file.read(HEAD)
    except OSError:
        return False
    return any(mark.encode() in ends for mark in MARKS[path.rpartition("/")[2]])
