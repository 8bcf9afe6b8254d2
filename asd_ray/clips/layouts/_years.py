"""Which year a folder of sections is: 2022 to 2026 name files alike, so other evidence decides."""

from __future__ import annotations

import re

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import split_home
from asd_ray.clips.layouts._sections import _LABELLED
from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError, listing

# Evaluation machines are new every year, but for two that came back in 2026; 2026's emulated ones are new too.
_EVALUATED = {
    2023: {"bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum"},
    2024: {
        "3DPrinter",
        "AirCompressor",
        "BrushlessMotor",
        "HairDryer",
        "HoveringDrone",
        "RoboticArm",
        "Scanner",
        "ToothBrush",
        "ToyCircuit",
    },
    2025: {
        "ToyRCCar",
        "ToyPet",
        "HomeCamera",
        "AutoTrash",
        "Polisher",
        "ScrewFeeder",
        "BandSealer",
        "CoffeeGrinder",
    },
    2026: {
        "ToyCarEmu",
        "bearingEmu",
        "gearboxEmu",
        "sliderEmu",
        "valveEmu",
        "ToyDrone",
        "ToothBrush",
        "SewingMachine",
        "BlowerDustCollector",
        "Sander",
    },
}
_ONLY_IN_2021 = {"pump"}  # the other six machines of 2021 came back in 2022, with bearing in pump's place
# Whose attributes were withheld; slider and ToyTrain in both years.
_WITHHELD = {2024: "gearbox", 2025: "bearing"}
_TOKEN = re.compile(r"dcase[_-]?(20\d\d)", re.IGNORECASE)
_LISTED = re.compile(r"eval_data_list_(20\d\d)\.csv")
_PLACES = ("train", "train_r2", "test", "source_test", "target_test", "supplemental")


def year_of_sections(tree: Tree) -> tuple[int, list[Problem]]:
    """The year, and a note where the evidence leaves several open."""
    machines, sections, withheld, places = _evidence(tree)
    two_folders = bool(places & {"source_test", "target_test"})
    possible = {2021} if two_folders else set(range(2022, 2027)) if "test" in places else set(range(2021, 2027))
    below = {int(year) for file in tree.audio for year in _TOKEN.findall("/".join(file.folders))} & possible
    if len(below) > 1:
        found = listing(f"dcase{year}" for year in sorted(below))
        raise AsdRayError(
            f"{tree.place}: holds several years, whose machines have the same names:\n{found}\ngive one year's folder"
        )
    if two_folders:
        return 2021, []
    listed = {int(year) for file in tree.csv for year in _LISTED.findall(file.name)} & possible
    in_root = {int(year) for year in _TOKEN.findall(tree.place)[-1:]} & possible
    for told in (below, in_root, listed):
        if len(told) == 1:
            return told.pop(), []
    if _ONLY_IN_2021 & machines and "test" not in places:
        return 2021, []
    known = {year: len(names & machines) for year, names in _EVALUATED.items()}
    if any(known.values()):
        return max(known, key=lambda year: known[year]), []
    if sections - {"00"}:  # from 2023 on a machine has section 00 only
        return 2022, [] if "test" in places else [_untold(tree, "2021 and 2022", 2022, 2021)]
    if "supplemental" in places:
        return 2025, []
    for year, machine in _WITHHELD.items():
        if machine in withheld:
            return year, []
    return 2023, [_untold(tree, "2023, 2024 and 2025", 2023, 2024)]


def _untold(tree: Tree, years: str, taken: int, other: int) -> Problem:
    rule = f"read as dcase{taken}: the files do not tell {years} apart"
    rule += "" if taken == 2022 else " (nor does their official metric)"
    return Problem("note", tree.place, rule, f"name the year with --layout dcase{other} if it matters")


def _evidence(tree: Tree) -> tuple[set[str], set[str], set[str], set[str]]:
    """Machines, sections, machines whose attributes are withheld, and split folders."""
    machines, sections, withheld, places = set(), set(), set(), set()
    for file in tree.audio:
        home = split_home(file, tree.root.name, _PLACES)
        if home is None or not file.stem.startswith("section_"):
            continue
        machines.add(home[0])
        places.add(home[1])
        if file.stem[8:10].isdigit():
            sections.add(file.stem[8:10])
        labelled = _LABELLED.fullmatch(file.stem)
        if labelled is not None and labelled[6] == "noAttribute":
            withheld.add(home[0])
    return machines, sections, withheld, places
