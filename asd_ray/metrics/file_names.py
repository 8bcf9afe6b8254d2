"""The names of submission files, year by year: parsed, and spelled out as they ought to be.

A submission's cell is (machine, id, domain); domain is part of the file name in 2021 only and "" otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asd_ray.metrics.years import YEARS, check_year

SCORE, DECISION = "anomaly_score", "decision_result"
Cell = tuple[str, str, str]  # machine, id, domain

_MACHINE = r"(?P<machine>[^_]+)"
_TAILS = {2020: r"_id_(?P<id>\d\d)", 2021: r"_section_(?P<id>\d\d)_(?P<domain>source|target)_test"}
_TAIL = r"_section_(?P<id>\d\d)_test"


@dataclass(frozen=True)
class FileName:
    kind: str  # SCORE or DECISION
    cell: Cell
    official: bool  # False: the name under which the baseline exports its own results


def parse(name: str, year: int) -> FileName | None:
    """What a file's name says, or None if it is no name of that year."""
    kinds = SCORE if check_year(year) == 2020 else f"{SCORE}|{DECISION}"  # 2020 had no decisions
    tail = _TAILS.get(year, _TAIL)
    shapes = {True: rf"(?P<kind>{kinds})_{_MACHINE}{tail}\.csv"}
    if year >= 2022:
        shapes[False] = rf"(?P<kind>{kinds})_DCASE{year}T2{_MACHINE}{tail}_seed\d+.*_Eval\.csv"
    for official, shape in shapes.items():
        found = re.fullmatch(shape, name)
        if found:
            parts = found.groupdict(default="")
            return FileName(parts["kind"], (parts["machine"], parts["id"], parts.get("domain", "")), official)
    return None


def spell(kind: str, cell: Cell, year: int) -> str:
    """The official name of a cell's file."""
    machine, each, domain = cell
    if year == 2020:
        return f"{kind}_{machine}_id_{each}.csv"
    return (
        f"{kind}_{machine}_section_{each}_{domain}_test.csv"
        if year == 2021
        else f"{kind}_{machine}_section_{each}_test.csv"
    )


def shapes(year: int) -> str:
    """The rule in words, for messages."""
    kinds = (SCORE,) if year == 2020 else (SCORE, DECISION)
    return " and ".join(spell(kind, ("<machine>", "<NN>", "<source|target>"), year) for kind in kinds)


def years_of(name: str) -> list[int]:
    """The years that know a file of this name."""
    return [year for year in YEARS if parse(name, year)]
