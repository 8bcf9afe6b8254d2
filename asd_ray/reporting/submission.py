"""Writing the official submission files of a DCASE year, from a run's final ensembles.

`submission_check.py` checks such files, and `metrics/submission_files.py` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from asd_ray._csv import official_csv
from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.editions import DECISION, DOMAINS, SCORE, Cell, Edition, scored_edition, scored_editions
from asd_ray.storage.atomic import folder_written_aside
from asd_ray.storage.places import is_address

if TYPE_CHECKING:
    from asd_ray.ensembling import Ensemble
    from asd_ray.ledger import Ledger


class Written(NamedTuple):
    """The files that were written, and notes on them."""

    folder: Path
    year: int
    files: list[str]
    clips: int
    notes: list[str]


def write_submission(ledger: Ledger, folder: str | Path, *, year: int | None = None) -> Written:
    """Write the files of the final ensembles of all machines. The folder is written completely or not at all.

    The year is the dataset's unless `year` is given. If the run has clips of an evaluation set, only these are
    written.
    """
    from asd_ray.ensembling import finals, scores_of

    target = _local(folder)
    ensembles = finals(ledger)
    if not ensembles:
        raise AsdRayError(
            f"{ledger.layout.root}: no ensemble was chosen yet; run: "
            + typed("asd-ray", "ensemble", "--run", ledger.layout.root)
        )
    edition = _edition_of(ensembles, year)
    scored = {machine: _test(scores_of(ledger, ensemble)) for machine, ensemble in ensembles.items()}
    if empty := [machine for machine, clips in scored.items() if clips.empty]:
        raise AsdRayError(
            f"{', '.join(empty)}: no test clips were scored, so there is nothing to submit; search a dataset with test "
            "clips, which need no labels"
        )
    cells, notes = clips_by_file(scored, edition)
    contents: dict[str, str] = {}
    for cell, clips in cells.items():
        contents[edition.files.spell(SCORE, cell)] = _rows(clips["clip"], clips["score"].astype(float))
        if edition.asks_for_decisions:
            decisions = clips["score"] > ensembles[cell[0]].threshold.value
            contents[edition.files.spell(DECISION, cell)] = _rows(clips["clip"], decisions.astype(int))
    without = sorted({record.machine for record in ledger.records()} - set(ensembles))
    if without:
        cure = typed("asd-ray", "ensemble", *without, "--run", ledger.layout.root)
        notes.append(f"{', '.join(without)}: no ensemble was chosen, so it is left out; run: {cure}")
    transductive = [machine for machine, ensemble in ensembles.items() if ensemble.transductive]
    if transductive:
        notes.append(f"transductive, a clip's score depends on other test clips: {', '.join(transductive)}")
    _put(target, contents)
    return Written(target, edition.year, sorted(contents), sum(map(len, cells.values())), notes)


def _local(folder: str | Path) -> Path:
    if is_address(folder):
        raise AsdRayError(f"{folder}: a submission is a folder on a local disk; write it there and copy it")
    refuse_own_folder(folder, "name another folder")
    return Path(os.path.realpath(Path(folder).expanduser()))


def _edition_of(ensembles: Mapping[str, Ensemble], year: int | None) -> Edition:
    """The edition of `year`, or else of the dataset that the ensembles were chosen on."""
    if year is not None:
        return scored_edition(year)
    years = {machine: ensemble.dataset.year for machine, ensemble in ensembles.items()}
    without = [machine for machine, of_machine in years.items() if of_machine is None]
    if without:
        raise AsdRayError(
            f"{', '.join(without)}: the dataset has no DCASE year, so the files to write are not known; if its "
            "clips are named as in a year, give that year: --year 2020"
        )
    if len(set(years.values())) > 1:
        pairs = ", ".join(f"{machine} {of_machine}" for machine, of_machine in years.items())
        raise AsdRayError(f"the machines have several years ({pairs}); give the year of the files: --year 2022")
    of_dataset = next(year_of for year_of in years.values() if year_of is not None)
    known = {edition.year: edition for edition in scored_editions()}
    if of_dataset not in known:
        latest = max(known)
        raise AsdRayError(f"the files of {of_dataset} are not known; to name them as in another year: --year {latest}")
    return known[of_dataset]


def _test(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["split"] == "test"]


def clips_by_file(scored: Mapping[str, pd.DataFrame], edition: Edition) -> tuple[dict[Cell, pd.DataFrame], list[str]]:
    """The clips of each file in order of name, with notes. If the run has an evaluation set, only its clips count."""
    problems, parts = [], []
    for machine, clips in scored.items():
        matches = [edition.clips.pattern.fullmatch(clip) for clip in clips["clip"]]
        rows = list(zip(clips["clip"], clips["id"], matches, strict=True))
        wrong = [clip for clip, id, match in rows if not match or match["id"] != id]
        if wrong:
            example = edition.clips.spell(next(iter(edition.evaluation.values()))[0], DOMAINS[0])
            problems.append(
                f"{machine}: {len(wrong)} of {len(clips)} test clips have no official name of {edition.year} and "
                f"their id, such as {example}: {shortened(wrong, 2)}"
            )
        elif edition.files.parse(edition.files.spell(SCORE, (machine, "00", DOMAINS[0]))) is None:
            problems.append(
                f"{machine}: it cannot be part of a file name, since official machine names have no underscore"
            )
        else:
            groups = [match.groupdict() for match in matches if match]
            labelled = [bool(group["label"]) for group in groups]
            domains = [group.get("domain", "") for group in groups]
            parts.append(clips.assign(machine=machine, labelled=labelled, domain=domains))
    if problems:
        raise AsdRayError(
            f"no submission of {edition.year} can be written from these clips:\n{listing(problems)}\n"
            "give the year of the dataset with --year; other recordings have no official files"
        )
    every, notes = pd.concat(parts, ignore_index=True), []
    if every["labelled"].all():
        notes.append(
            f"these are development clips, whose names contain the labels; a submission of {edition.year} has others"
        )
    elif every["labelled"].any():
        development = every[every["labelled"]]
        ids = ", ".join(sorted(set(development["machine"] + " " + development["id"])))
        notes.append(f"{len(development)} development clips are left out, as the run has an evaluation set: {ids}")
        every = every[~every["labelled"]]
    cells = {
        (str(machine), str(id), str(domain)): rows.sort_values("clip")
        for (machine, id, domain), rows in every.groupby(["machine", "id", "domain"])
    }
    return cells, notes


def _rows(names: pd.Series[Any], values: pd.Series[Any]) -> str:
    """Rows with numbers that have enough digits to be read back exactly."""
    return official_csv(zip(names, values.tolist(), strict=True))


def _put(folder: Path, contents: Mapping[str, str]) -> None:
    """Write the files to a temporary folder and rename it; an older folder of the same files is replaced."""
    if folder.exists() and not folder.is_dir():
        raise AsdRayError(f"{folder} is a file; a submission is a folder; name another folder")
    others = sorted({path.name for path in folder.iterdir()} - set(contents)) if folder.exists() else []
    if others:
        raise AsdRayError(
            f"{folder} holds files that this submission does not: {shortened(others)}; name a new or an empty folder"
        )
    try:
        with folder_written_aside(folder) as aside:
            for name, text in contents.items():
                (aside / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise AsdRayError(
            f"{folder}: cannot be written ({error.strerror or error}); its old content is unchanged. Free some "
            "space, or name another folder"
        ) from error
