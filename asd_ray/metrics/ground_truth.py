"""The ground truth of an evaluation set, in either form in which it was published.

The evaluators' form is a folder with ``ground_truth_data/`` (name,label), from 2022 on ``ground_truth_domain/``
(name, 0 source or 1 target) and in some years ``ground_truth_attributes/`` (name, long names). The baseline's form is
one list, ``eval_data_list.csv`` or ``eval_data_list_<year>.csv``: a line with the machine, then name,long name[,label].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_ray.errors import AsdRayError, listing
from asd_ray.metrics.csv_rows import read_rows, read_values, shortened
from asd_ray.metrics.editions import Edition, scored_edition
from asd_ray.metrics.editions.file_names import GROUND_TRUTH

COLUMNS = ["machine", "id", "domain", "clip", "label", "alias", "full_name"]
DATA, DOMAIN, ATTRIBUTES = "ground_truth_data", "ground_truth_domain", "ground_truth_attributes"
_LABELS = {"0": 0, "1": 1, "normal": 0, "anomaly": 1}
_DOMAINS = {0.0: "source", 1.0: "target"}


@dataclass
class _Reading:
    """The clips read so far, and everything that is wrong with them."""

    clips: list[tuple[str, str, str, str, int, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_truth(folder: Path, year: int) -> pd.DataFrame:
    """The clips of an evaluation set: machine, id, domain, clip, label (1 anomaly), alias, full_name.

    `clip` is the short name. `alias` is the published long name or "", `full_name` the long name with the
    attributes that were withheld during the challenge or ""; submissions may use any of the three. `domain` is "" in
    2020.
    """
    folder = Path(folder)
    edition = scored_edition(year)
    if edition.truth_folders is None:
        raise AsdRayError(f"the ground truth of {year} is not published yet, so its submissions cannot be scored")
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; name the folder of the ground truth with --truth")
    lists = [folder / name for name in (f"eval_data_list_{year}.csv", "eval_data_list.csv")]
    reading = _Reading()
    if edition.truth_folders and (folder / DATA).is_dir():
        _read_folders(folder, edition, reading)
    elif any(path.is_file() for path in lists):
        _read_list(next(path for path in lists if path.is_file()), edition, reading)
    else:
        folders = " and ".join(edition.truth_folders)
        raise AsdRayError(
            f"{folder} holds no ground truth of {year}; it needs {lists[1].name} or {lists[0].name}"
            + (f", or the folders {folders}" if folders else "")
        )
    truth = pd.DataFrame(reading.clips, columns=COLUMNS)
    same_clip = ["machine", "id", "clip"] + ["domain"] * edition.files.has_domain
    repeated = truth[truth.duplicated(same_clip)]
    if len(repeated):
        names = (repeated["machine"] + " " + repeated["clip"]).tolist()
        reading.problems.append(f"{len(repeated)} clip(s) are listed more than once: {shortened(names)}")
    if not len(truth) and not reading.problems:
        reading.problems.append("it names no clip")
    if reading.problems:
        raise AsdRayError(f"the ground truth {folder} cannot be used:\n{listing(reading.problems, 100)}")
    return truth


def _read_folders(folder: Path, edition: Edition, reading: _Reading) -> None:
    has_domain_files = DOMAIN in (edition.truth_folders or ())
    if has_domain_files and not (folder / DOMAIN).is_dir():
        reading.problems.append(f"{DOMAIN}/ is missing; in {edition.year} it lists which clips are source and target")
        return
    for path in sorted((folder / DATA).glob("*.csv")):
        name = edition.files.parse_ground_truth(path.name)
        if name is None:
            rule = edition.files.rule(GROUND_TRUTH)
            reading.problems.append(f"{path.name} is misnamed; {edition.year} has {rule}; rename or remove it")
            continue
        machine, id, domain = name.cell
        labels, problems = read_values(path, decisions=True)
        reading.problems += problems
        domains = {clip: domain for clip, _ in labels}
        if has_domain_files:
            domains = _read_domains(folder / DOMAIN / path.name, [clip for clip, _ in labels], reading)
        long_names = _read_attributes(folder / ATTRIBUTES / path.name)
        reading.clips += [
            (machine, id, domains.get(clip, ""), clip, int(label), *long_names.get(clip, ("", "")))
            for clip, label in labels
        ]


def _read_domains(path: Path, names: list[str], reading: _Reading) -> dict[str, str]:
    where = f"{DOMAIN}/{path.name}"
    if not path.is_file():
        reading.problems.append(f"{where} is missing")
        return {}
    rows, problems = read_values(path, decisions=True)
    reading.problems += [f"{DOMAIN}/{problem}" for problem in problems]
    in_one = sorted({name for name, _ in rows} ^ set(names))
    if in_one:
        reading.problems.append(f"{where} and {DATA}/{path.name} differ in {len(in_one)} clips: {shortened(in_one)}")
    return {name: _DOMAINS[value] for name, value in rows}


def _read_attributes(path: Path) -> dict[str, tuple[str, str]]:
    """Long names by short name: (the published one, the one with all attributes); some files leave out ``.wav``."""
    if not path.is_file():
        return {}
    long_names = {}
    for _, (name, *others) in read_rows(path):
        published, full, *_ = [other + ".wav" * (not other.endswith(".wav")) for other in others if other] + ["", ""]
        long_names[name] = (published, full)
    return long_names


def _read_list(path: Path, edition: Edition, reading: _Reading) -> None:
    machine = ""
    wrong = []
    unit = re.compile(rf"{edition.unit}_(\d\d)_")
    for line, row in read_rows(path):
        if len(row) == 1:
            machine = row[0]
            continue
        name, long_name = row[:2]
        number = unit.match(name)
        label = row[2] if len(row) > 2 and row[2] else _word(long_name, ("normal", "anomaly"))
        domain = _word(long_name, edition.cells.domains)
        if not machine or not number or label not in _LABELS or (edition.cells.domains and not domain):
            wrong.append(f"line {line} ({','.join(row)})")
            continue
        reading.clips.append((machine, number[1], domain, name, _LABELS[label], long_name, ""))
    if wrong:
        reading.problems.append(
            f"{path.name} has {len(wrong)} line(s) that are no clips of {edition.year}: {shortened(wrong)}"
        )


def _word(name: str, words: tuple[str, ...]) -> str:
    """The first of `words` between the underscores of a long file name; "" if it has none."""
    return next((part for part in name.removesuffix(".wav").split("_") if part in words), "")
