"""DCASE 2023 and later ("first shot"): one section 00 per machine, and evaluation machines that are new every year.

Files and cells are those of 2022. The years differ in their machines, in 2024's revised training folders
(``train_r2``) and in 2025's ``supplemental/`` recordings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asd_ray.metrics.editions.dcase2022 import DCASE2022, files


def _only_section_00(machines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(machines, ("00",))


DCASE2023 = replace(
    DCASE2022,
    year=2023,
    development=_only_section_00(DCASE2022.development),
    evaluation=_only_section_00(("bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum")),
    prints_paper_table=True,
    wrong_cut=None,
    files=files(2023),
    clips=replace(DCASE2022.clips, accepts_misspelling=False),
)

DCASE2024 = replace(
    DCASE2023,
    year=2024,
    evaluation=_only_section_00(
        ("3DPrinter", "AirCompressor", "BrushlessMotor", "HairDryer", "HoveringDrone", "RoboticArm", "Scanner")
        + ("ToothBrush", "ToyCircuit")
    ),
    attributes_withheld=frozenset({"gearbox", "slider", "ToyTrain"}),
    files=files(2024),
)

DCASE2025 = replace(
    DCASE2024,
    year=2025,
    evaluation=_only_section_00(
        ("ToyRCCar", "ToyPet", "HomeCamera", "AutoTrash", "Polisher", "ScrewFeeder", "BandSealer", "CoffeeGrinder")
    ),
    attributes_withheld=frozenset({"bearing", "slider", "ToyTrain"}),
    has_supplemental=True,
    definition=f"{DCASE2024.definition} (as 2024: the evaluator of 2025 was not seen)",
    files=files(2025),
)

# Its recordings are published. Its official score and its ground truth are not.
DCASE2026 = replace(
    DCASE2025,
    year=2026,
    development=_only_section_00(("ToyCar", "ToyCarEmu", "bearingEmu", "fan", "gearboxEmu", "sliderEmu", "valveEmu")),
    evaluation=_only_section_00(("ToyDrone", "ToothBrush", "SewingMachine", "BlowerDustCollector", "Sander")),
    attributes_withheld=frozenset(),
    has_supplemental=False,
    definition=None,
    official_score=None,
    files=files(2026),
    truth_folders=None,
)
