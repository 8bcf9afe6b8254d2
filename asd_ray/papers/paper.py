"""A paper: who, where, when, and its tables."""

from __future__ import annotations

from dataclasses import dataclass

from asd_ray.errors import AsdRayError, unknown
from asd_ray.papers.table import PaperTable


@dataclass(frozen=True)
class Paper:
    key: str  # such as liu2022
    authors: str  # family names, separated by commas
    title: str
    venue: str
    year: int
    tables: tuple[PaperTable, ...]
    note: str = ""

    def table(self, number: str) -> PaperTable:
        """The table of this number, as it is printed in the paper."""
        tables = {table.number: table for table in self.tables}
        if not tables:
            raise AsdRayError(f"{self.key} has no table: {self.note}")
        if number not in tables:
            raise unknown(f"table of {self.key}", number, tables)
        return tables[number]

    @property
    def citation(self) -> str:
        """``Liu et al. 2022``."""
        names = self.authors.split(", ")
        return f"{self.authors if len(names) < 3 else f'{names[0]} et al.'} {self.year}"
