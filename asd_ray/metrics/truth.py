"""The ground truth of an evaluation set, in either shape in which it was published.

The evaluators' shape is a folder with ``ground_truth_data/`` (name,label), from 2022 on ``ground_truth_domain/``
(name, 0 source or 1 target) and in some years ``ground_truth_attributes/`` (name, long names). The baseline's is one
list, ``eval_data_list.csv`` or ``eval_data_list_<year>.csv``: a line with the machine, then name,long name[,label].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_ray.errors import AsdRayError, listing
from asd_ray.metrics.csv_rows import read_rows, read_values, shortened
from asd_ray.metrics.years import check_year

COLUMNS = ["machine", "id", "domain", "clip", "label", "alias", "full_name"]
_FILE = re.compile(r"ground_truth_(?P<machine>[^_]+)_section_(?P<id>\d\d)(?:_(?P<domain>source|target))?_test\.csv")
_LABELS = {"0": 0, "1": 1, "normal": 0, "anomaly": 1}
_DOMAINS = {0.0: "source", 1.0: "target"}


@dataclass
class _Found:
    """Clips as they are read, and everything that is wrong with them."""

    clips: list[tuple[str, str, str, str, int, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_truth(folder: Path, year: int) -> pd.DataFrame:
    """The clips of an evaluation set: machine, id, domain, clip, label (1 anomaly), alias, full_name.

    `clip` is the short name. `alias` is the published long name or "", `full_name` the long name with the
    attributes that were withheld during the challenge or ""; submissions may use any of the three. `domain` is "" in
    2020.
    """
    folder = Path(folder)
    check_year(year)
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; name the folder of the ground truth with --truth")
    lists = [folder / name for name in (f"eval_data_list_{year}.csv", "eval_data_list.csv")]
    found = _Found()
    if (folder / "ground_truth_data").is_dir() and year > 2020:
        _read_folders(folder, year, found)
    elif any(path.is_file() for path in lists):
        _read_list(next(path for path in lists if path.is_file()), year, found)
    else:
        raise AsdRayError(
            f"{folder} holds no ground truth of {year}; it needs {lists[1].name} or {lists[0].name}"
            + (", or the folders " + " and ".join(_folders(year)) if year > 2020 else "")
        )
    made = pd.DataFrame(found.clips, columns=COLUMNS)
    twice = made[made.duplicated(["machine", "id", "domain" if year == 2021 else "id", "clip"])]
    if len(twice):
        names = (twice["machine"] + " " + twice["clip"]).tolist()
        found.problems.append(f"{len(twice)} clip(s) stand in it twice: {shortened(names)}")
    if not len(made) and not found.problems:
        found.problems.append("it names no clip")
    if found.problems:
        raise AsdRayError(f"the ground truth {folder} cannot be used:\n{listing(found.problems, 100)}")
    return made


def _folders(year: int) -> tuple[str, ...]:
    return ("ground_truth_data",) if year == 2021 else ("ground_truth_data", "ground_truth_domain")


def _read_folders(folder: Path, year: int, found: _Found) -> None:
    if not (folder / _folders(year)[-1]).is_dir():
        found.problems.append(f"{_folders(year)[-1]}/ is missing; from 2022 on it tells which clips are source, target")
        return
    for path in sorted((folder / "ground_truth_data").glob("*.csv")):
        parts = _FILE.fullmatch(path.name)
        if not parts or (parts["domain"] is not None) != (year == 2021):
            rule = "section_<NN>_<source|target>_test" if year == 2021 else "section_<NN>_test"
            found.problems.append(f"{path.name} is misnamed; of {year} it would be ground_truth_<machine>_{rule}.csv")
            continue
        labels, problems = read_values(path, decisions=True)
        found.problems += problems
        domains = {name: parts["domain"] for name, _ in labels}
        if year > 2021:
            domains = _read_domains(folder / "ground_truth_domain" / path.name, [name for name, _ in labels], found)
        long = _read_attributes(folder / "ground_truth_attributes" / path.name)
        found.clips += [
            (parts["machine"], parts["id"], domains.get(name, ""), name, int(label), *long.get(name, ("", "")))
            for name, label in labels
        ]


def _read_domains(path: Path, names: list[str], found: _Found) -> dict[str, str]:
    where = f"ground_truth_domain/{path.name}"
    if not path.is_file():
        found.problems.append(f"{where} is missing")
        return {}
    rows, problems = read_values(path, decisions=True)
    found.problems += [f"ground_truth_domain/{problem}" for problem in problems]
    odd = sorted({name for name, _ in rows} ^ set(names))
    if odd:
        found.problems.append(f"{where} and ground_truth_data/{path.name} differ in {len(odd)} clips: {shortened(odd)}")
    return {name: _DOMAINS[value] for name, value in rows}


def _read_attributes(path: Path) -> dict[str, tuple[str, str]]:
    """Long names by short name: (the published one, the one with all attributes); some files leave out ``.wav``."""
    if not path.is_file():
        return {}
    long = {}
    for _, (name, *others) in read_rows(path):
        published, full, *_ = [other + ".wav" * (not other.endswith(".wav")) for other in others if other] + ["", ""]
        long[name] = (published, full)
    return long


def _read_list(path: Path, year: int, found: _Found) -> None:
    machine = ""
    odd = []
    unit = re.compile(r"id_(\d\d)_" if year == 2020 else r"section_(\d\d)_")
    for line, row in read_rows(path):
        if len(row) == 1:
            machine = row[0]
            continue
        name, long = row[:2]
        number = unit.match(name)
        label = row[2] if len(row) > 2 and row[2] else _token(long, ("normal", "anomaly"))
        domain = "" if year == 2020 else _token(long, ("source", "target"))
        if not machine or not number or label not in _LABELS or (year > 2020 and not domain):
            odd.append(f"line {line} ({','.join(row)})")
            continue
        found.clips.append((machine, number[1], domain, name, _LABELS[label], long, ""))
    if odd:
        found.problems.append(f"{path.name} has {len(odd)} line(s) that are no clips of {year}: {shortened(odd)}")


def _token(name: str, words: tuple[str, str]) -> str:
    """Which of two words a long file name holds between its underscores."""
    return next((part for part in name.removesuffix(".wav").split("_") if part in words), "")
