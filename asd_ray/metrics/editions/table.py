"""The table of editions. Everything that depends on a year looks it up here."""

from __future__ import annotations

from asd_ray.errors import AsdRayError, unknown
from asd_ray.metrics.editions._base import Edition
from asd_ray.metrics.editions.dcase2020 import DCASE2020
from asd_ray.metrics.editions.dcase2021 import DCASE2021
from asd_ray.metrics.editions.dcase2022 import DCASE2022
from asd_ray.metrics.editions.dcase2023 import DCASE2023, DCASE2024, DCASE2025, DCASE2026

EDITIONS: dict[int, Edition] = {
    edition.year: edition for edition in (DCASE2020, DCASE2021, DCASE2022, DCASE2023, DCASE2024, DCASE2025, DCASE2026)
}


def scored_editions() -> list[Edition]:
    """The editions whose official score is known, oldest first."""
    return [EDITIONS[year] for year in sorted(EDITIONS) if EDITIONS[year].is_scored]


def scored_edition(year: int) -> Edition:
    """The edition of `year`; an error that lists the known years if its official score is not known."""
    known = [str(edition.year) for edition in scored_editions()]
    if year not in EDITIONS:
        raise unknown("year", str(year), known)
    if not EDITIONS[year].is_scored:
        raise AsdRayError(f"the official score of {year} is not known yet; known: {', '.join(known)}")
    return EDITIONS[year]


def latest_scored(year: int) -> Edition | None:
    """The edition of `year`, or the latest one before it whose official score is known; None if there is none."""
    return next((edition for edition in reversed(scored_editions()) if edition.year <= year), None)
