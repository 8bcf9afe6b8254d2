"""The official baselines of DCASE Task 2, 2020 to 2025, as far as their numbers are known to us.

They are from the READMEs and papers of the organisers, and from a chart of the DCASE ASD Toolkit for the evaluation
sets of 2021 and 2022. Per machine we know the development set of 2020 here; that of 2022 is in table 1 of jiang2023
and, for MobileNetV2, of cho2022. A mean of 10 runs for 2020 is in table 1 of giri2020.
"""

from __future__ import annotations

from typing import Any

from asd_ray.papers import official
from asd_ray.papers.measure import AUC, PAUC, Measure
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow, numbers
from asd_ray.papers.table import PaperTable

BOTH = ("auc_source", "auc_target")
OFFICIAL_2021 = Measure("official score", (*BOTH, "pauc_source", "pauc_target"), "hmean")
OFFICIAL = Measure("official score", (*BOTH, "pauc"), "hmean")


def _total(name: str, *average: float, **of: Any) -> PaperRow:
    """A row of which only the number over all machines is known."""
    return PaperRow(name, {}, official.PROTOCOL, average, **of)


def _autoencoder(*average: float) -> PaperRow:
    return _total("Autoencoder", *average, members=(official.AUTOENCODER_2021,))


def _mobilenet(member: Member, *average: float) -> PaperRow:
    return _total("MobileNetV2", *average, members=(member,), differs=official.DIFFERS)


def _either(average: float) -> PaperRow:
    return _total(
        "Baseline", average, cannot="our source does not say which of the year's two baselines this number is of"
    )


def _first_shot(name: str, variant: str, average: float) -> PaperRow:
    return _total(name, average, members=(Member("autoencoder", (variant,)),))


def _totals(number: str, title: str, year: int, measures: tuple[Measure, ...], *rows: PaperRow) -> PaperTable:
    decimals = 1 if (year, number) == (2022, "development") else 2
    return PaperTable(number, title, f"dcase{year}", number, (), measures, "hmean", rows, decimals)


def _paper(year: int, title: str, *tables: PaperTable, note: str = "") -> Paper:
    return Paper(f"baseline{year}", "DCASE organisers", title, "DCASE", year, tables, note)


MACHINES_2020 = ("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")
BASELINE_2020 = _paper(
    2020,
    "Unsupervised Detection of Anomalous Sounds for Machine Condition Monitoring",
    PaperTable(
        "development",
        "Results in the README of the baseline",
        "dcase2020",
        "development",
        MACHINES_2020,
        (AUC, PAUC),
        "",
        (
            PaperRow(
                "Autoencoder",
                numbers(MACHINES_2020, "80.09/67.22 72.68/60.66 65.16/52.59 72.59/60.00 84.99/66.93 66.46/50.60"),
                official.PROTOCOL,
                members=(official.AUTOENCODER_2020,),
            ),
        ),
    ),
)

BASELINE_2021 = _paper(
    2021,
    "Unsupervised Anomalous Sound Detection for Machine Condition Monitoring under Domain Shifted Conditions",
    _totals(
        "development",
        "Harmonic means in the READMEs of the baselines",
        2021,
        (Measure("AUC", BOTH, "hmean"), Measure("pAUC", ("pauc_source", "pauc_target"), "hmean")),
        _autoencoder(62.01, 53.43),
        _mobilenet(official.MOBILENET_2021, 59.24, 55.95),
    ),
    _totals("evaluation", "Official score", 2021, (OFFICIAL_2021,), _either(56.38)),
)

BASELINE_2022 = _paper(
    2022,
    "Unsupervised Anomalous Sound Detection for Machine Condition Monitoring Applying Domain Generalization Techniques",
    _totals(
        "development",
        "Harmonic means in the READMEs of the baselines",
        2022,
        (
            Measure("AUC (source)", ("auc_source",), "hmean"),
            Measure("AUC (target)", ("auc_target",), "hmean"),
            Measure("pAUC", ("pauc",), "hmean"),
        ),
        _autoencoder(68.6, 43.7, 53.8),
        _mobilenet(official.MOBILENET_2022, 64.1, 47.7, 56.3),
    ),
    _totals("evaluation", "Official score", 2022, (OFFICIAL,), _either(54.02)),
)

BASELINE_2023 = _paper(
    2023,
    "First-Shot Unsupervised Anomalous Sound Detection for Machine Condition Monitoring",
    _totals(
        "evaluation",
        "Official scores",
        2023,
        (OFFICIAL,),
        _first_shot("Autoencoder, MSE", "mse", 59.25),
        _first_shot("Autoencoder, MAHALA", "mahala", 61.05),
    ),
)

BASELINE_2024 = _paper(
    2024,
    "First-Shot Unsupervised Anomalous Sound Detection for Machine Condition Monitoring",
    _totals("evaluation", "Official score", 2024, (OFFICIAL,), _first_shot("Autoencoder, MSE", "mse", 56.51)),
    note="The score of MAHALA is not known to us.",
)

BASELINE_2025 = _paper(
    2025,
    "First-Shot Unsupervised Anomalous Sound Detection for Machine Condition Monitoring",
    note="No number of the baseline of 2025 is known to us.",
)
