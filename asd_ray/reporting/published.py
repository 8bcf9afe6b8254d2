"""Published numbers on the development sets of DCASE 2020 and 2022, in percent, with their protocols.

They are shown beside a run only if its dataset has the name of the year's layout, dcase2020 or dcase2022, and the same
machine and ids, with about as many test clips. Other runs have no such table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asd_ray.ensembling import Ensemble, protocols
from asd_ray.metrics import hmean


@dataclass(frozen=True)
class Row:
    system: str
    protocol: str
    values: Mapping[str, tuple[float, ...]]  # machine -> AUC and pAUC, or the one number of `Table.measure`


@dataclass(frozen=True)
class Table:
    year: int
    measure: str
    ids: Mapping[str, tuple[str, ...]]
    fewest: int  # test clips of each id and label; a run with fewer holds only a part of the set
    rows: tuple[Row, ...]


def _rows(text: str, machines: tuple[str, ...]) -> tuple[Row, ...]:
    """Lines of ``system | protocol | value, or AUC/pAUC, of each machine``; a dash where there is none."""
    rows = []
    for line in text.strip().splitlines():
        system, protocol, numbers = (part.strip() for part in line.split("|"))
        values = {
            machine: tuple(map(float, pair.split("/")))
            for machine, pair in zip(machines, numbers.split(), strict=True)
            if pair != "-"
        }
        rows.append(Row(system, protocol, values))
    return tuple(rows)


UNSAID = "how labels were used is not said"
GIRI = f"ensemble; {UNSAID}"
MACHINES_2020 = ("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor")
MACHINES_2022 = ("bearing", "fan", "gearbox", "slider", "ToyCar")
MIMII = ("00", "02", "04", "06")

TABLES = (
    Table(
        2020,
        "AUC / pAUC, arithmetic mean over ids, %",
        {name: MIMII for name in MACHINES_2020[:4]}
        | {"ToyCar": ("01", "02", "03", "04"), "ToyConveyor": ("01", "02", "03")},
        80,
        _rows(
            f"""
Autoencoder baseline (Giri et al., table 1) | single detector, mean of 10 runs | 65.83/52.45 72.89/59.99 84.76/66.53 66.28/50.98 78.77/67.58 72.53/60.43
Group MADE (Giri et al., system 4) | single detector; {UNSAID} | 70.10/53.62 75.68/68.97 93.29/83.46 89.68/70.95 80.51/71.89 76.03/60.70
IDNN (as given by Liu et al.) | single detector; {UNSAID} | 67.71/52.90 73.76/61.07 86.45/67.58 84.09/64.94 78.69/69.22 71.07/59.70
MobileNetV2 (as given by Liu et al.) | single detector; {UNSAID} | 80.19/74.40 82.53/76.50 95.27/85.22 88.65/87.98 87.66/85.92 69.71/56.43
Glow_Aff (as given by Liu et al.) | single detector; {UNSAID} | 74.90/65.30 83.40/73.80 94.60/82.80 91.40/75.00 92.20/84.10 71.50/59.00
Giri et al., system 1, mean | {GIRI} | 82.39/78.23 87.64/82.37 97.09/88.03 90.52/88.06 94.97/90.03 81.46/66.62
Giri et al., system 1, max | {GIRI} | 82.23/77.87 87.87/82.38 96.84/87.72 98.46/94.87 95.57/91.54 79.74/64.88
Giri et al., system 2, mean | {GIRI} | 82.33/78.97 86.94/79.60 97.28/89.54 97.38/91.21 95.04/90.39 80.67/65.90
Giri et al., system 2, max | {GIRI} | 82.73/78.76 87.05/79.26 97.16/90.34 98.53/93.40 95.15/90.86 79.22/64.25
Giri et al., system 3, mean | {GIRI} | 82.75/79.72 86.73/79.60 97.62/89.70 95.00/90.32 94.64/89.48 80.53/65.58
Giri et al., system 3, max | {GIRI} | 83.06/79.55 87.04/79.52 97.43/88.91 99.07/96.20 95.27/90.23 79.10/64.02
STgram-MFN, cross entropy (Liu et al.) | single detector, chosen with test labels | 91.30/86.73 91.25/81.69 99.36/96.84 94.44/91.58 88.80/87.38 72.93/63.62
STgram-MFN, ArcFace (Liu et al.) | single detector, chosen with test labels | 94.04/88.97 91.94/81.75 99.55/97.61 99.64/98.44 94.44/87.68 74.57/63.60
TASTgram, Noisy-ArcMix (ICASSP 2024) | single detector; {UNSAID} | 98.32/95.34 95.44/85.99 99.53/97.50 99.95/99.74 96.76/90.11 77.90/67.15
""",  # noqa: E501
            MACHINES_2020,
        ),
    ),
    Table(
        2022,
        "harmonic mean of AUC (source), AUC (target) and pAUC over sections, %",
        {name: ("00", "01", "02") for name in MACHINES_2022},
        90,
        _rows(
            f"""
Official baseline, autoencoder | single detector; {UNSAID} | 54.80 58.47 63.07 57.99 51.06
Official baseline, MobileNetV2 | single detector; {UNSAID} | 59.18 57.20 59.89 50.17 54.26
AEGAN-AD (Jiang et al.) | best epoch and score of each machine, chosen with test labels | 76.03 65.83 75.27 74.06 78.46
""",
            MACHINES_2022,
        ),
    ),
)


def comparison(machines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The table for a run's machines, with the run's own rows; None if nothing matches.

    `machines` maps names to `machine_facts`.
    """
    for table in TABLES:
        matching = [name for name, facts in machines.items() if _same_clips(table, name, facts)]
        if matching:
            rows = [
                {"system": f"this run, {protocol}", "protocol": _sentence(protocol, machines, values), "own": True,
                 "values": values}
                for protocol in protocols.HEADLINE
                if (values := {m: v for m in matching if (v := _own(table, machines[m], protocol))})
            ]  # fmt: skip
            rows += [
                {
                    "system": row.system,
                    "protocol": row.protocol,
                    "own": False,
                    "values": {m: list(row.values[m]) for m in matching if m in row.values},
                }
                for row in table.rows
            ]
            return {
                "year": table.year,
                "measure": table.measure,
                "compared": f"the dataset's name, dcase{table.year}, the ids, and that each id has {table.fewest} test "
                "clips or more of either label; neither the exact number of clips nor the clips themselves",
                "machines": matching,
                "rows": rows,
            }
    return None


def _sentence(protocol: str, machines: Mapping[str, Mapping[str, Any]], of: Iterable[str]) -> str:
    """How labels were used; for label-free ensembles, whether labels picked their recipe."""
    if protocol != "label_free":
        return f"final ensemble, {protocols.find(protocol).sentence}"
    return f"final ensemble, {' or '.join(sorted({machines[machine]['labels'] for machine in of}))}"


def _same_clips(table: Table, machine: str, facts: Mapping[str, Any]) -> bool:
    final: Ensemble = facts["final"]
    if (final.dataset.name, final.dataset.year) != (f"dcase{table.year}", table.year):
        return False
    return tuple(facts["ids"]) == table.ids.get(machine) and all(
        facts["counts"].get(f"{machine_id}/{label}", 0) >= table.fewest
        for machine_id in facts["ids"]
        for label in ("normal", "anomaly")
    )


def _own(table: Table, facts: Mapping[str, Any], protocol: str) -> list[float] | None:
    final: Ensemble = facts["final"]
    metric = final.metrics.get(protocol)
    if metric is None or ("label_free" in final.metrics and protocol != "label_free"):
        return None
    cells = metric.cells
    if table.year != 2020:
        return [100 * float(hmean(list(cells.values())))]
    kinds = [[value for name, value in cells.items() if name.endswith(f"/{kind}")] for kind in ("auc", "pauc")]
    return [100 * sum(values) / len(values) for values in kinds]
