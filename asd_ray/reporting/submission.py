"""Official submission files of a DCASE year: written from a run's final ensembles, and checked in any folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from asd_ray._csv import official_csv
from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.file_names import DECISION, SCORE, Cell, parse, spell
from asd_ray.metrics.matching import Files, match_files
from asd_ray.metrics.submission import Submission, read_submission
from asd_ray.metrics.years import YEARS, check_year
from asd_ray.storage.places import is_address

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

_MIMII = dict.fromkeys(("fan", "pump", "slider", "valve"), ("01", "03", "05"))
_SECTIONS = ("03", "04", "05")
EVALUATION: dict[int, dict[str, tuple[str, ...]]] = {  # machine -> ids or sections of the evaluation set
    2020: {**_MIMII, "ToyCar": ("05", "06", "07"), "ToyConveyor": ("04", "05", "06")},
    2021: dict.fromkeys(("fan", "gearbox", "pump", "slider", "valve", "ToyCar", "ToyTrain"), _SECTIONS),
    2022: dict.fromkeys(("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain"), _SECTIONS),
}
_NEW_MACHINES = {  # every year's own, of section 00
    2023: ("bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum"),
    2024: ("3DPrinter", "AirCompressor", "BrushlessMotor", "HairDryer", "HoveringDrone", "RoboticArm", "Scanner")
    + ("ToothBrush", "ToyCircuit"),
    2025: ("ToyRCCar", "ToyPet", "HomeCamera", "AutoTrash", "Polisher", "ScrewFeeder", "BandSealer", "CoffeeGrinder"),
}
EVALUATION |= {year: dict.fromkeys(machines, ("00",)) for year, machines in _NEW_MACHINES.items()}
# Test clips of a year: the label stands in the name of development clips, and of evaluation clips published later.
_CLIPS = {
    2020: re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<id>\d\d)_\d+\.wav"),
    2021: re.compile(
        r"section_(?P<id>\d\d)_(?P<domain>source|target)_test_(?:(?P<label>normal|anomaly)_)?\d+(_.*)?\.wav"
    ),
}
_CLIP = re.compile(
    r"section_(?P<id>\d\d)_(?:(?:source|target)_)?(?:test_)?(?:(?P<label>normal|anomaly)_)?\d+(_.*)?\.wav"
)
_EXAMPLES = {2020: "id_05_00000000.wav", 2021: "section_03_source_test_0000.wav"}


class Written(NamedTuple):
    """What was written, and what is worth knowing of it."""

    folder: Path
    year: int
    files: list[str]
    clips: int
    notes: list[str]


class Checked(NamedTuple):
    """`problems` keep a folder from being a submission; `notes` do not."""

    problems: list[str]
    notes: list[str]
    files: int
    clips: int


def write_submission(ledger: Ledger, folder: str | Path, *, year: int | None = None) -> Written:
    """The files of the final ensembles of all machines, in a folder that is whole or not there.

    The year is the dataset's unless given. Of a run that has clips of an evaluation set only these are written.
    """
    from asd_ray.ensembling import finals, scores_of

    target = _local(folder)
    chosen = finals(ledger)
    if not chosen:
        raise AsdRayError(
            f"{ledger.layout.root}: no ensemble was chosen yet; run: "
            + typed("asd-ray", "ensemble", "--run", ledger.layout.root)
        )
    of_year = _year_of(chosen, year)
    scored = {machine: _test(scores_of(ledger, each)) for machine, each in chosen.items()}
    cells, notes = _cells(scored, of_year)
    contents: dict[str, str] = {}
    for cell, clips in cells.items():
        contents[spell(SCORE, cell, of_year)] = _rows(clips["clip"], clips["score"].astype(float))
        if of_year > 2020:
            decided = clips["score"] > chosen[cell[0]]["threshold"]["value"]
            contents[spell(DECISION, cell, of_year)] = _rows(clips["clip"], decided.astype(int))
    without = sorted({record.machine for record in ledger.records()} - set(chosen))
    if without:
        cure = typed("asd-ray", "ensemble", *without, "--run", ledger.layout.root)
        notes.append(f"{', '.join(without)}: no ensemble was chosen, so it is left out; run: {cure}")
    transductive = [machine for machine, each in chosen.items() if each["transductive"]]
    if transductive:
        notes.append(f"transductive, by scores of the test clips themselves: {', '.join(transductive)}")
    _put(target, contents)
    return Written(target, of_year, sorted(contents), sum(map(len, cells.values())), notes)


def check_submission(folder: str | Path, year: int, ledger: Ledger | None = None) -> Checked:
    """All that is wrong with a folder, at once: against a run's test clips, else against the year's evaluation set."""
    submission = read_submission(Path(folder), year)
    problems, notes = list(submission.problems), _out_of_order(submission)
    tables = {SCORE: submission.scores, DECISION: submission.decisions}
    if ledger is None:
        for kind, table in tables.items():
            tables[kind], wrong = _well_named(submission, kind, table)
            problems += wrong
        expected, wrong, told = _official_set(submission, pd.concat(tables.values()))
    else:
        expected, wrong, told = _of_run(ledger, submission)
    problems += wrong
    if len(expected):
        decisions = None if year == 2020 else tables[DECISION]
        files = Files(year, submission.files, submission.misnamed, decisions is not None)
        problems += match_files(expected, tables[SCORE], decisions, files)[1]
    return Checked(problems, notes + told, len(submission.files), len(submission.scores))


def _local(folder: str | Path) -> Path:
    if is_address(folder):
        raise AsdRayError(f"{folder}: a submission is a folder on a local disk; write it there and copy it")
    refuse_own_folder(folder, "name another folder with --submission")
    return Path(os.path.realpath(Path(folder).expanduser()))


def _year_of(chosen: Mapping[str, Mapping[str, Any]], asked: int | None) -> int:
    if asked is not None:
        return check_year(asked)
    years = {machine: each["dataset"]["year"] for machine, each in chosen.items()}
    unknown = [machine for machine, year in years.items() if year is None]
    if unknown:
        raise AsdRayError(
            f"{', '.join(unknown)}: the dataset is of no DCASE year, so it is not known which files to write; if its "
            "clips are named as in a year, say which: --year 2020"
        )
    if len(set(years.values())) > 1:
        told = ", ".join(f"{machine} {year}" for machine, year in years.items())
        raise AsdRayError(f"the machines are of several years ({told}); say whose files to write: --year 2022")
    found = next(iter(years.values()))
    if found not in YEARS:
        raise AsdRayError(f"the files of {found} are not known; to name them as in another year: --year {YEARS[-1]}")
    return int(found)


def _test(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["split"] == "test"]


def _cells(of_machine: Mapping[str, pd.DataFrame], year: int) -> tuple[dict[Cell, pd.DataFrame], list[str]]:
    """The clips of each file in order of name, of the evaluation set if there are any."""
    shape = _CLIPS.get(year, _CLIP)
    problems, parts = [], []
    for machine, clips in of_machine.items():
        named = [shape.fullmatch(clip) for clip in clips["clip"]]
        rows = list(zip(clips["clip"], clips["id"], named, strict=True))
        wrong = [clip for clip, each, name in rows if not name or name["id"] != each]
        if wrong:
            like = _EXAMPLES.get(year, "section_00_0001.wav")
            problems.append(
                f"{machine}: {len(wrong)} of {len(clips)} test clips have no official name of {year} and their id, "
                f"such as {like}: {shortened(wrong, 2)}"
            )
        elif parse(spell(SCORE, (machine, "00", "source"), year), year) is None:
            problems.append(f"{machine}: no file can be named by it, since official machine names have no underscore")
        else:
            found = [name.groupdict() for name in named if name]
            labelled = [bool(each["label"]) for each in found]
            domains = [each.get("domain", "") for each in found]
            parts.append(clips.assign(machine=machine, labelled=labelled, domain=domains))
    if problems:
        raise AsdRayError(
            f"no submission of {year} can be made of these clips:\n{listing(problems)}\n"
            "name the year of the dataset with --year; other recordings have no official files"
        )
    every, notes = pd.concat(parts, ignore_index=True), []
    if every["labelled"].all():
        notes.append(f"these are development clips, whose names tell the labels; a submission of {year} has others")
    elif every["labelled"].any():
        gone = every[every["labelled"]]
        told = ", ".join(sorted(set(gone["machine"] + " " + gone["id"])))
        notes.append(f"{len(gone)} development clips are left out, as the run has an evaluation set: {told}")
        every = every[~every["labelled"]]
    cells = {
        (str(machine), str(each), str(domain)): rows.sort_values("clip")
        for (machine, each, domain), rows in every.groupby(["machine", "id", "domain"])
    }
    return cells, notes


def _rows(names: pd.Series[Any], values: pd.Series[Any]) -> str:
    """Numbers in as many digits as they need to be read back the same."""
    return official_csv(zip(names, values.tolist(), strict=True))


def _put(folder: Path, contents: Mapping[str, str]) -> None:
    """Written aside under a dot name and renamed; a folder of the same files gives way to it."""
    if folder.exists() and not folder.is_dir():
        raise AsdRayError(f"{folder} is a file; a submission is a folder: name another with --submission")
    strange = sorted({path.name for path in folder.iterdir()} - set(contents)) if folder.exists() else []
    if strange:
        raise AsdRayError(
            f"{folder} holds what this submission does not: {shortened(strange)}; name a new or an empty folder"
        )
    mark = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside, old = (folder.with_name(f".{folder.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        aside.mkdir(parents=True)
        for name, text in contents.items():
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(aside, folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.rename(old, folder)
            raise
    except OSError as error:
        raise AsdRayError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing that was there is lost. Free some "
            "space, or name another folder with --submission"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _of_run(ledger: Ledger, submission: Submission) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The clips that a submission of this run has, as a ground truth would list them; no problems; and notes."""
    of_machine = {}
    for entry in ledger.entries():
        if entry.record.machine not in of_machine and "test" in entry.splits:
            rows = ledger.scores(entry.record, ["test"])
            of_machine[entry.record.machine] = rows.drop_duplicates("clip")
    if not of_machine:
        raise AsdRayError(f"{ledger.layout.root}: no trial has scores of test clips, so there is nothing to expect")
    cells, _ = _cells(of_machine, submission.year)
    notes = [
        f"{name} is left alone: {ledger.layout.root} has no clips of it"
        for (_, cell), name in submission.files.items()
        if cell not in cells
    ]
    columns = ["machine", "id", "domain", "clip", "label"]
    return pd.concat(cells.values(), ignore_index=True)[columns], [], notes


def _official_set(submission: Submission, named: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """What the year's evaluation set and the other files of a cell let expect, with problems and notes.

    The clips are those `named` by a score or a decision file: the official lists are no part of this package.
    """
    year, read = submission.year, dict.fromkeys(cell for _, cell in submission.files)
    official, problems, notes = list(_official_cells(year)), [], []
    if not set(official) & set(read):
        official = []
        machines = ", ".join(EVALUATION[year])
        problems = [
            f"no file is of a machine of {year}'s evaluation set ({machines}); if these are other machines, say by "
            "which run to check them: --run RUN"
        ] * bool(read)
    others = [cell for cell in read if cell not in official]
    if official and others:
        told = shortened([" ".join(part for part in cell if part) for cell in others])
        notes.append(f"not in the evaluation set of {year}, checked for themselves: {told}")
    rows: list[tuple[str, ...]] = []
    for cell in [*official, *others]:
        names = named["clip"][_mask(named, cell)] if cell in read else ["any clip"]
        rows += [(*cell, name) for name in dict.fromkeys(re.sub(r"^(section_\d\d)_test_", r"\1_", n) for n in names)]
    return pd.DataFrame(rows, columns=["machine", "id", "domain", "clip"]).assign(label="unknown"), problems, notes


def _well_named(submission: Submission, kind: str, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of clips that are named as the file's own, and what is wrong with the others."""
    year, shape = submission.year, _CLIPS.get(submission.year, _CLIP)
    rows = zip(table["machine"], table["id"], table["domain"], table["clip"], strict=True)
    wrong: dict[Cell, list[str]] = {}
    for *parts, clip in rows:
        cell = (parts[0], parts[1], parts[2])
        if not _fits(shape.fullmatch(clip), cell):
            wrong.setdefault(cell, []).append(clip)
    problems = [
        f"{submission.files[kind, cell]} names {len(clips)} clip(s) that are none of its own: {shortened(clips)}; "
        f"{year} has names like {_like(cell, year)}"
        for cell, clips in wrong.items()
    ]
    gone = np.zeros(len(table), bool)
    for cell, clips in wrong.items():
        gone |= (_mask(table, cell) & table["clip"].isin(clips)).to_numpy()
    return table[~gone], problems


def _fits(name: re.Match[str] | None, cell: Cell) -> bool:
    said = name.groupdict() if name else {"id": None}
    return said["id"] == cell[1] and said.get("domain", cell[2]) == cell[2]


def _official_cells(year: int) -> Iterator[Cell]:
    for machine, ids in EVALUATION[year].items():
        for each in ids:
            for domain in ("source", "target") if year == 2021 else ("",):
                yield machine, each, domain


def _like(cell: Cell, year: int) -> str:
    _, each, domain = cell
    return f"id_{each}_00000000.wav" if year == 2020 else f"section_{each}_{domain}_test_0000.wav".replace("__test", "")


def _mask(table: pd.DataFrame, cell: Cell) -> Any:
    machine, each, domain = cell
    return (table["machine"] == machine) & (table["id"] == each) & (table["domain"] == domain)


def _out_of_order(submission: Submission) -> list[str]:
    found: list[str] = []
    for kind, table in ((SCORE, submission.scores), (DECISION, submission.decisions)):
        for (machine, each, domain), rows in table.groupby(["machine", "id", "domain"], sort=False):
            if not _rising(rows["clip"].tolist()):
                found.append(submission.files[kind, (str(machine), str(each), str(domain))])
    if not found:
        return []
    return [f"{len(found)} file(s) are not in order of clip names, which the evaluators put right: {shortened(found)}"]


def _rising(names: Sequence[str]) -> bool:
    return all(one <= other for one, other in zip(names, names[1:], strict=False))
