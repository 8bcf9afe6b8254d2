"""Which year a folder of sections belongs to. The years from 2022 on name files alike, so other evidence decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import split_home
from asd_ray.clips.layouts.dcase_sections import LABELLED
from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError, listing
from asd_ray.metrics.editions import EDITIONS, Edition

_TOKEN = re.compile(r"dcase[_-]?(20\d\d)", re.IGNORECASE)
_LISTED = re.compile(r"eval_data_list_(20\d\d)\.csv")


@dataclass
class _Evidence:
    """What the names and folders of a tree contain."""

    machines: set[str] = field(default_factory=set)
    sections: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)  # that hold clips
    without_attributes: set[str] = field(default_factory=set)  # machines with clips named `noAttribute`


def year_of_sections(tree: Tree) -> tuple[int, list[Problem]]:
    """The year, and a note if the evidence does not decide between several years."""
    known = [EDITIONS[year] for year in sorted(EDITIONS) if EDITIONS[year].unit == "section"]
    evidence = _evidence(tree, known)
    possible = _with_these_test_folders(known, evidence.folders)
    of_folders = {int(year) for file in tree.audio for year in _TOKEN.findall("/".join(file.folders))}
    _refuse_several(tree, of_folders & _years(possible))
    if len(possible) == 1:
        return possible[0].year, []
    of_root = {int(year) for year in _TOKEN.findall(tree.place)[-1:]}
    of_lists = {int(year) for file in tree.csv for year in _LISTED.findall(file.name)}
    for years in (of_folders, of_root, of_lists):
        if len(years & _years(possible)) == 1:
            return (years & _years(possible)).pop(), []
    return _by_content(tree, possible, evidence)


def _by_content(tree: Tree, possible: Sequence[Edition], evidence: _Evidence) -> tuple[int, list[Problem]]:
    """By machines, sections and missing attributes, where no folder or file names the year."""
    own = {edition.year: len(_own_machines(edition, possible) & evidence.machines) for edition in possible}
    if any(own.values()):
        return max(own, key=lambda year: own[year]), []
    if evidence.sections - {"00"}:
        several = [edition for edition in possible if edition.has_several_sections]
        if several:
            return several[-1].year, _undecided(tree, several[-1], several)
    if "supplemental" in evidence.folders:
        shipped = [edition for edition in possible if edition.has_supplemental]
        if shipped:
            return shipped[0].year, []
    for edition in possible:
        others = {machine for other in possible if other != edition for machine in other.attributes_withheld}
        if (edition.attributes_withheld - others) & evidence.without_attributes:
            return edition.year, []
    one_section = [edition for edition in possible if not edition.has_several_sections]
    first = (one_section or possible)[0]
    alike = [edition for edition in one_section if set(edition.development) == set(first.development)]
    return first.year, _undecided(tree, first, alike)


def _own_machines(edition: Edition, possible: Sequence[Edition]) -> set[str]:
    """The machines that no other year develops with; evaluation machines are new in most years."""
    return edition.machines - {machine for other in possible if other != edition for machine in other.development}


def _with_these_test_folders(known: Sequence[Edition], folders: set[str]) -> list[Edition]:
    by_domain = any(folder.endswith("_test") for folder in folders)
    if by_domain or "test" in folders:
        return [edition for edition in known if edition.has_domain_folders == by_domain]
    return list(known)


def _refuse_several(tree: Tree, years: set[int]) -> None:
    if len(years) > 1:
        names = listing(f"dcase{year}" for year in sorted(years))
        raise AsdRayError(
            f"{tree.place}: holds several years, whose machines have the same names:\n{names}\ngive one year's folder"
        )


def _undecided(tree: Tree, chosen: Edition, alike: Sequence[Edition]) -> list[Problem]:
    """A note that the files of the years `alike` are not told apart; none if `chosen` is the only one."""
    others = [edition.year for edition in alike if edition != chosen]
    if not others:
        return []
    *first, last = (str(edition.year) for edition in alike)
    rule = f"read as dcase{chosen.year}: the files do not tell {', '.join(first)} and {last} apart"
    if all(edition.official_score == chosen.official_score for edition in alike):
        rule += " (nor does their official metric)"
    return [Problem("note", tree.place, rule, f"name the year with --layout dcase{others[0]} if it matters")]


def _years(editions: Iterable[Edition]) -> set[int]:
    return {edition.year for edition in editions}


def _evidence(tree: Tree, known: Sequence[Edition]) -> _Evidence:
    evidence = _Evidence()
    folders = tuple({folder: None for edition in known for folder in edition.folders})
    for file in tree.audio:
        home = split_home(file, tree.root.name, folders)
        if home is None or not file.stem.startswith("section_"):
            continue
        evidence.machines.add(home[0])
        evidence.folders.add(home[1])
        if file.stem[8:10].isdigit():
            evidence.sections.add(file.stem[8:10])
        labelled = LABELLED.fullmatch(file.stem)
        if labelled is not None and labelled[6] == "noAttribute":
            evidence.without_attributes.add(home[0])
    return evidence
