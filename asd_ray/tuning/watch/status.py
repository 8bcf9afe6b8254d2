"""``asd-ray search --status RUN``: how a run is going, by its files alone, from any computer that reads them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from asd_ray._console import flagged
from asd_ray._shapes import DictOf, Fields, Flag, Items, ListOf, Maybe, Number, Scalar, Text, Whole, fault, object_of
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.storage.heartbeat import Beat, read_beats, store_clock
from asd_ray.storage.open_files import open_files
from asd_ray.storage.run_layout import RunLayout
from asd_ray.tuning.ledger_view import whole_and_partial
from asd_ray.tuning.spec import group_name

if TYPE_CHECKING:
    from asd_ray._console import Console

SHOWN = 30  # running trials
FAILURES = 5
STUCK = 60.0  # seconds without a turn after which a search that lives is said to wait for something


STUDY = object_of(
    study=Text(),
    **dict.fromkeys(("done", "wanted", "running", "pruned", "failed"), Whole()),
    exhausted=Flag(),
    best=Maybe(Items((Number(), Text(), Text()))),
    left=Maybe(Number(0, 1e12)),
)
RUNNING = object_of(trial=Text(), node=Text(), epoch=Whole(), epochs=Maybe(Whole()), seconds=Number(-1e10, 1e10))
STATUS = Fields(  # what is shown of what `StatusFile` writes
    {
        "command": Text(),
        "seconds": Number(0, 1e10),
        "turned": Number(0, 1e10),
        "slots": Number(0, 1e10),
        "cluster": DictOf(Scalar()),
        "ended": Whole(),
        "stopping": Text(),
        "error": Text(),
        "again": DictOf(Whole()),
        "failures": ListOf(object_of(trial=Text(), error=Text())),
        "studies": ListOf(STUDY),
        "running": ListOf(RUNNING),
    }
)


def read_status(layout: RunLayout) -> tuple[list[Beat], bool]:
    """The searches of a run, and whether their age could be told by the clock of the disk or of S3."""
    files = open_files(layout)
    listed = files.list(layout.status)
    if not listed:
        return [], True
    try:
        return read_beats(files, listed, store_clock(files, layout.status)), True
    except AsdRayError:  # one who may only read the run cannot ask for its clock by writing a file
        return read_beats(files, listed, time.time()), False


def show_status(run: str, console: Console) -> None:
    """Who searches, how far each study is, what runs, what failed. Raises when there is no such run."""
    layout = RunLayout(run)
    found, exact = read_status(layout)
    beats = []
    for beat in found:
        if problem := fault(STATUS, beat.told):
            console.print(
                f"note: {layout.url(beat.path)} is left out, as {problem}; remove it if no search of this version runs",
                markup=False,
            )
        else:
            beats.append(beat)
    ledger = Ledger(layout)
    records = ledger.records()
    if not beats and not records:
        raise AsdRayError(
            f"{layout.root}: no run here: no trial is stored and no search is at work; give the folder that a search "
            "prints, or wait a moment if it was started just now"
        )
    for beat in beats:
        _show_search(beat, console)
    if beats and not exact:
        console.print(
            "note: ages are told by this computer's clock, since the run's folder cannot be written from here"
        )
    alive = [beat for beat in beats if beat.alive]
    if not alive:
        gone = " any more" if beats else ""
        console.print(f"no search works on {layout.root}{gone}; what is stored:")
    _show_studies(beats, records, console)
    _show_running(alive, console)
    _show_failures(beats, records, console)


# -- who searches ----------------------------------------------------------------------------------------------------


def _show_search(beat: Beat, console: Console) -> None:
    told = beat.told
    since, silent = duration(told.get("seconds", 0.0) + beat.silent), duration(beat.silent)
    console.print(f"{beat}: {told.get('command', '')}")
    if not beat.alive:
        why = "its process is gone." if beat.here else "killed?"
        console.print(f"  not heard from for {silent}: {why} The same command goes on where it ended")
        return
    notes = [f"since {since}", f"heard from {silent} ago"]
    if slots := told.get("slots"):
        notes.append(f"{len(told.get('running', []))} of {slots:g} slots busy")
    if cluster := told.get("cluster"):
        notes.append("cluster: " + " ".join(f"{name}={_number(value)}" for name, value in cluster.items()))
    notes.append(f"{told.get('ended', 0)} trials ended")
    for why, count in told.get("again", {}).items():
        notes.append(f"{count} run again ({why})")
    console.print(f"  {', '.join(notes)}")
    if told.get("stopping"):
        console.print(f"  stopping ({told['stopping']}): no new trials {told.get('error', '')}".rstrip())
    if told.get("turned", 0.0) > STUCK:
        silent = duration(told["turned"])
        why = "a long epoch with --serial, or it waits for Ray or S3"
        console.print(flagged(f"  no sign of life for {silent}", why, "yellow"))


# -- studies ---------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    study: str
    done: int
    wanted: int | None  # None: nobody is heard of who wants more
    running: int
    pruned: int
    failed: int
    best: tuple[float, str] | None
    left: float | None = None
    note: str = ""


def _show_studies(beats: Sequence[Beat], records: Sequence[TrialRecord], console: Console) -> None:
    rows = {row.study: row for row in _stored_rows(records)}
    for beat in sorted(beats, key=lambda beat: beat.alive):  # what the living say counts
        for told in beat.told.get("studies", []):
            if beat.alive:
                rows[told["study"]] = _told_row(beat, told)
            elif told["study"] in rows:
                rows[told["study"]].wanted = told["wanted"]
            else:
                rows[told["study"]] = _Row(told["study"], 0, told["wanted"], 0, 0, 0, None)
    if not rows:
        return
    table = Table()
    for name in ("study", "done", "running", "pruned", "failed", "best", "time left"):
        table.add_column(name, justify="left" if name in ("study", "best") else "right", no_wrap=True)
    for row in sorted(rows.values(), key=lambda row: row.study):
        done = str(row.done) if row.wanted is None else f"{row.done}/{row.wanted}"
        best = "" if row.best is None else f"{row.best[0]:.4f} {row.best[1]}"
        left = row.note or ("" if row.left is None else f"~{duration(row.left)}")
        table.add_row(row.study, done, str(row.running), str(row.pruned), str(row.failed), best, left)
    console.print(table)


def _told_row(beat: Beat, told: dict[str, Any]) -> _Row:
    left = told["left"]
    return _Row(
        told["study"],
        told["done"],
        told["wanted"],
        told["running"],
        told["pruned"],
        told["failed"],
        (told["best"][0], told["best"][1]) if told["best"] else None,
        None if left is None else max(0.0, left - beat.silent),
        "space exhausted" if told["exhausted"] else "",
    )


def _stored_rows(records: Sequence[TrialRecord]) -> list[_Row]:
    """A row for each study that the ledger knows of, over all seeds and settings; imported systems are no studies."""
    found = {(tuple(sorted(record.machines)), record.family) for record in records if record.source == "search"}
    rows = []
    for machines, family in found:
        whole, _ = whole_and_partial(records, machines, family)
        scored = [(r.objective, r.variant) for r in whole if r.status == "complete" and r.objective is not None]
        counts = {status: sum(r.status == status for r in whole) for status in ("pruned", "failed")}
        best = max(scored, default=None)
        rows.append(
            _Row(f"{group_name(machines)}-{family}", len(whole), None, 0, counts["pruned"], counts["failed"], best)
        )
    return rows


# -- trials ----------------------------------------------------------------------------------------------------------


def _show_running(alive: Sequence[Beat], console: Console) -> None:
    running = [(beat, run) for beat in alive for run in beat.told.get("running", [])]
    if not running:
        return
    table = Table()
    for name in ("running", "node", "epoch", "for"):
        table.add_column(name, justify="left" if name in ("running", "node") else "right", no_wrap=True)
    for beat, run in running[:SHOWN]:
        of = f"/{run['epochs']}" if run["epochs"] else ""
        epoch = f"{run['epoch']}{of}" if run["node"] else "not heard from yet"
        table.add_row(run["trial"], run["node"], epoch, duration(run["seconds"] + beat.silent))
    console.print(table)
    if len(running) > SHOWN:
        console.print(f"and {len(running) - SHOWN} more")


def _show_failures(beats: Sequence[Beat], records: Sequence[TrialRecord], console: Console) -> None:
    """The last ones in the ledger; of one that a search tells of and that is not seen there yet, what it tells."""
    failed = sorted((r for r in records if r.status == "failed"), key=lambda record: record.created)
    told = {r.name: r.error for r in failed[-FAILURES:]}
    for beat in beats:
        told |= {each["trial"]: each["error"] for each in beat.told.get("failures", [])}
    if told:
        console.print(f"the last failures ({len(failed)} in all):")
    for name, error in list(told.items())[-FAILURES:]:
        text = " ".join(error.split())
        console.print(f"  {name}: {text}", soft_wrap=True)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
