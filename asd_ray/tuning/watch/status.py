"""``asd-ray status RUN``: how a run is going, from its files alone, on any computer that can read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asd_ray._console import PlainTable, flagged, numbers, values, words
from asd_ray._shapes import DictOf, Fields, Flag, Items, ListOf, Maybe, Number, Scalar, Text, Whole, fault, object_of
from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.record import LABELS
from asd_ray.ledger.states import States
from asd_ray.ledger.units import by_objective, with_unit
from asd_ray.storage.heartbeat import Beat, read_beats, store_clock
from asd_ray.storage.open_files import open_files
from asd_ray.storage.run_layout import RunLayout
from asd_ray.tuning.ledger_view import whole_and_partial
from asd_ray.tuning.spec import group_name

if TYPE_CHECKING:
    from asd_ray._console import Console

SHOWN = 30  # running trials
FAILURES = 5
COLUMNS = {  # of a table of studies, the headline first
    "study": words,
    "done": numbers,
    "best": values,
    **dict.fromkeys(("time left", "running", "pruned", "failed"), numbers),
}
STUCK = 60.0  # seconds without a turn after which a search counts as waiting for something

STUDY = object_of(
    {"objective": Text()},  # earlier versions compared by labels only
    study=Text(),
    **dict.fromkeys(("done", "wanted", "running", "pruned", "failed"), Whole()),
    exhausted=Flag(),
    best=Maybe(Items((Number(), Text(), Text()))),
    left=Maybe(Number(0, 1e12)),
)
RUNNING = object_of(trial=Text(), node=Text(), epoch=Whole(), epochs=Maybe(Whole()), seconds=Number(-1e10, 1e10))
STATUS = Fields(  # the part of what `StatusFile` writes that is shown
    {
        "command": Text(),
        "seconds": Number(0, 1e10),
        "turned": Number(0, 1e10),
        "slots": Number(0, 1e10),
        "cluster": DictOf(Scalar()),
        "ended": Whole(),
        "left": Maybe(Number(0, 1e12)),  # earlier versions do not write it
        "stopping": Text(),
        "error": Text(),
        "again": DictOf(Whole()),
        "failures": ListOf(object_of(trial=Text(), error=Text())),
        "studies": ListOf(STUDY),
        "running": ListOf(RUNNING),
    }
)


def read_status(layout: RunLayout) -> tuple[list[Beat], bool]:
    """The searches of a run, and whether their ages are exact: by the clock of the disk or of S3."""
    files = open_files(layout)
    listed = files.list(layout.status)
    if not listed:
        return [], True
    try:
        return read_beats(files, listed, store_clock(files, layout.status)), True
    except AsdRayError:  # a user without write access cannot write the file that tells the store's clock
        return read_beats(files, listed, time.time()), False


def show_status(run: str, console: Console) -> None:
    """Print which searches run, how far each study is, which trials run and which failed. Raises if there is no run."""
    layout = RunLayout(run)
    all_beats, exact = read_status(layout)
    beats = []
    for beat in all_beats:
        if problem := fault(STATUS, beat.content):
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
        console.print("note: ages are by this computer's clock, since the run's folder cannot be written from here")
    alive = [beat for beat in beats if beat.alive]
    if not alive:
        gone = " any more" if beats else ""
        console.print(f"no search works on {layout.root}{gone}; what is stored:")
    _show_studies(beats, records, console)
    _show_running(alive, console)
    _show_failures(beats, records, console)
    _show_states(ledger, console)
    if alive:
        console.print(f"next: {typed('asd-ray', 'status', layout.root)}", soft_wrap=True)
    elif any(record.status == "complete" for record in records):
        console.print(f"next: {typed('asd-ray', 'ensemble', '--run', layout.root)}", soft_wrap=True)
    elif records:
        console.print(f"next: {typed('asd-ray', 'ledger', 'ls', layout.root)}", soft_wrap=True)


# -- who searches ----------------------------------------------------------------------------------------------------


def _show_search(beat: Beat, console: Console) -> None:
    state = beat.content
    since, silent = duration(state.get("seconds", 0.0) + beat.silent), duration(beat.silent)
    console.print(f"{beat}: {state.get('command', '')}")
    if not beat.alive:
        why = "its process is gone." if beat.here else "killed?"
        console.print(f"  no heartbeat for {silent}: {why} Run the same command again to resume it")
        return
    notes = [f"since {since}", f"last heartbeat {silent} ago"]
    if slots := state.get("slots"):
        notes.append(f"{len(state.get('running', []))} of {slots:g} slots busy")
    if cluster := state.get("cluster"):
        notes.append("cluster: " + " ".join(f"{name}={_number(value)}" for name, value in cluster.items()))
    notes.append(f"{state.get('ended', 0)} trials ended")
    if left := state.get("left"):
        notes.append(f"~{duration(max(0.0, left - beat.silent))} left")
    for why, count in state.get("again", {}).items():
        notes.append(f"{count} run again ({why})")
    console.print(f"  {', '.join(notes)}")
    if state.get("stopping"):
        console.print(f"  stopping ({state['stopping']}): no new trials {state.get('error', '')}".rstrip())
    if state.get("turned", 0.0) > STUCK:
        silent = duration(state["turned"])
        why = "a long epoch with --serial, or it waits for Ray or S3"
        console.print(flagged(f"  no sign of life for {silent}", why, "yellow"))


# -- studies ---------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    study: str
    done: int
    wanted: int | None  # None: no search reports how many it wants
    running: int
    pruned: int
    failed: int
    best: str
    left: float | None = None
    note: str = ""


def _show_studies(beats: Sequence[Beat], records: Sequence[TrialRecord], console: Console) -> None:
    rows = {row.study: row for row in _stored_rows(records)}
    for beat in sorted(beats, key=lambda beat: beat.alive):  # the reports of living searches count last
        for row in beat.content.get("studies", []):
            name = row["study"]
            if beat.alive:
                rows[name] = _reported_row(beat, row)
            elif name in rows:
                rows[name].wanted = row["wanted"]
            else:
                rows[name] = _Row(name, 0, row["wanted"], 0, 0, 0, "")
    if not rows:
        return
    table = table_of_studies()
    for shown in sorted(rows.values(), key=lambda row: row.study):
        done = str(shown.done) if shown.wanted is None else f"{shown.done}/{shown.wanted}"
        left = shown.note or ("" if shown.left is None else f"~{duration(shown.left)}")
        table.add_row(shown.study, done, shown.best, left, str(shown.running), str(shown.pruned), str(shown.failed))
    console.print(table)


def table_of_studies() -> PlainTable:
    return PlainTable(*(column(name) for name, column in COLUMNS.items()))


def _reported_row(beat: Beat, row: dict[str, Any]) -> _Row:
    left = row["left"]
    return _Row(
        row["study"],
        row["done"],
        row["wanted"],
        row["running"],
        row["pruned"],
        row["failed"],
        with_unit(row["best"][0], row["best"][1], row.get("objective", LABELS)) if row["best"] else "",
        None if left is None else max(0.0, left - beat.silent),
        "space exhausted" if row["exhausted"] else "",
    )


def _stored_rows(records: Sequence[TrialRecord]) -> list[_Row]:
    """One row per study in the ledger, over all seeds and settings. Imported systems are not studies."""
    studies = {(tuple(sorted(record.machines)), record.family) for record in records if record.source == "search"}
    rows = []
    for machines, family in studies:
        whole, _ = whole_and_partial(records, machines, family)
        scored = [r for r in whole if r.status == "complete" and r.objective is not None]
        counts = {status: sum(r.status == status for r in whole) for status in ("pruned", "failed")}
        best = [
            with_unit(*max((r.objective or 0.0, r.variant) for r in own), objective)
            for objective, own in by_objective(scored).items()
        ]
        rows.append(
            _Row(
                f"{group_name(machines)}-{family}",
                len(whole),
                None,
                0,
                counts["pruned"],
                counts["failed"],
                ", ".join(best),
            )
        )
    return rows


# -- trials ----------------------------------------------------------------------------------------------------------


def _show_running(alive: Sequence[Beat], console: Console) -> None:
    running = [(beat, run) for beat in alive for run in beat.content.get("running", [])]
    if not running:
        return
    table = PlainTable(words("running"), words("node"), numbers("epoch"), numbers("for"))
    for beat, run in running[:SHOWN]:
        epoch = epochs_text(run["node"], run["epoch"], run["epochs"])
        table.add_row(run["trial"], run["node"], epoch, duration(run["seconds"] + beat.silent))
    console.print(table)
    if len(running) > SHOWN:
        console.print(f"and {len(running) - SHOWN} more")


def epochs_text(node: str, epoch: int, epochs: int | None) -> str:
    """How far a trial is: ``7/20``; "" for one without epochs."""
    return "not started yet" if not node else f"{epoch}/{epochs}" if epochs else ""


def _show_failures(beats: Sequence[Beat], records: Sequence[TrialRecord], console: Console) -> None:
    """The last failures in the ledger, and those that searches report and that are not seen in the ledger yet."""
    failed = sorted((r for r in records if r.status == "failed"), key=lambda record: record.created)
    errors = {r.name: r.error for r in failed[-FAILURES:]}
    for beat in beats:
        errors |= {failure["trial"]: failure["error"] for failure in beat.content.get("failures", [])}
    if errors:
        console.print(f"the last failures ({len(failed)} in all):")
    for name, error in list(errors.items())[-FAILURES:]:
        text = " ".join(error.split())
        console.print(f"  {name}: {text}", soft_wrap=True)


def _show_states(ledger: Ledger, console: Console) -> None:
    """How many trials keep what they have learned, and how much room that takes."""
    sizes = States(ledger).bytes_by_family()
    if sizes:
        each = ", ".join(f"{family} {count} ({size / 1e6:.1f} MB)" for family, (count, size) in sorted(sizes.items()))
        total = sum(size for _, size in sizes.values())
        console.print(f"learned states, {total / 1e6:.1f} MB: {each}")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
