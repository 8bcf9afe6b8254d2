"""What each year of DCASE Task 2 counts as a cell, and how its official score follows from the cells."""

from __future__ import annotations

from asd_ray.errors import AsdRayError, unknown

DEFINITIONS = {
    2020: (
        "AUC and pAUC of each machine id and their arithmetic mean per machine; the evaluator prints no number over "
        "all machines, so the means over all ids are derived, not official"
    ),
    2021: (
        "harmonic mean of all AUC and all pAUC over machines, sections and domains, each domain's normals against "
        "the same domain's anomalies"
    ),
    2022: (
        "harmonic mean of AUC (source), AUC (target) and pAUC over machines and sections: a domain's normals against "
        "all anomalies of the section, pAUC over the whole section once"
    ),
}
DEFINITIONS[2023] = DEFINITIONS[2024] = DEFINITIONS[2022]
DEFINITIONS[2025] = DEFINITIONS[2022] + " (as 2024: the evaluator of 2025 was not seen)"
YEARS = tuple(DEFINITIONS)


def check_year(year: int) -> int:
    """`year` if its official score is known, else an error that says which are."""
    if year == 2026:
        raise AsdRayError(f"the official score of 2026 is not known yet; known: {', '.join(map(str, YEARS))}")
    if year not in YEARS:
        raise unknown("year", str(year), map(str, YEARS))
    return year
