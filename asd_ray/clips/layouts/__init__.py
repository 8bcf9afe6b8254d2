"""The naming schemes that we read: one per DCASE edition, MIMII's, and plain folders."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import Layout, Named
from asd_ray.clips.layouts._years import year_of_sections
from asd_ray.clips.layouts.dcase_ids import DcaseIds
from asd_ray.clips.layouts.dcase_sections import DcaseSections
from asd_ray.clips.layouts.folders import Folders
from asd_ray.clips.layouts.mimii import Mimii
from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.metrics.editions import EDITIONS

__all__ = ["Layout", "Named", "choose", "layouts"]

_OF_UNIT: dict[str, type[DcaseIds] | type[DcaseSections]] = {"id": DcaseIds, "section": DcaseSections}


def layouts() -> dict[str, Layout]:
    """Every layout by its name, with those of the DCASE years first."""
    editions = [EDITIONS[year] for year in sorted(EDITIONS)]
    known: list[Layout] = [*(_OF_UNIT[edition.unit](edition) for edition in editions), Mimii(), Folders()]
    return {layout.name: layout for layout in known}


def choose(tree: Tree, name: str | None) -> tuple[Layout, list[Problem]]:
    """The layout of that name, or the one that the file names follow, with notes on how it was decided.

    An error reports what the folder holds and what is expected.
    """
    if not tree.audio:
        raise AsdRayError(_nothing(tree))
    known = layouts()
    if name is not None:
        if name not in known:
            raise unknown("layout", name, known)
        if known[name].claims(tree) == 0:
            raise AsdRayError(
                f"{tree.place}: no file is named as --layout {name} expects ({known[name].expected}); "
                f"the first file is {tree.audio[0].path}; leave --layout out to detect it"
            )
        return known[name], []
    with_ids = [layout for layout in known.values() if isinstance(layout, DcaseIds)]
    with_sections = [layout for layout in known.values() if isinstance(layout, DcaseSections)]
    ids, sections = _most_claims(with_ids, tree), _most_claims(with_sections, tree)
    if ids and sections:
        raise AsdRayError(
            f"{tree.place}: holds {ids} clips named as {with_ids[0].name} and {sections} named as a later year; "
            "give the folder of one dataset"
        )
    if ids:
        return with_ids[0], []
    if sections:
        year, notes = year_of_sections(tree)
        return known[f"dcase{year}"], notes
    mimii, folders = known["mimii"].claims(tree), known["folders"].claims(tree)
    if mimii and mimii == folders:
        return known["mimii"], []
    if folders:
        return known["folders"], []
    raise AsdRayError(
        f"{tree.place}: {len(tree.audio)} audio files, none named as a layout that we know "
        f"(the first is {tree.audio[0].path}); expected one of:\n{_expected()}"
    )


def _most_claims(of_unit: Sequence[DcaseIds] | Sequence[DcaseSections], tree: Tree) -> int:
    """How many files the layouts claim. Years with the same folders claim the same files: only one of them counts."""
    different = {tuple(layout.edition.folders): layout for layout in of_unit}
    return max((layout.claims(tree) for layout in different.values()), default=0)


def _expected() -> str:
    return listing(f"{name:<10} {layout.expected}" for name, layout in layouts().items())


def _nothing(tree: Tree) -> str:
    if tree.other_audio:
        other = tree.other_audio[0]
        return (
            f"{tree.place}: no wav or flac file, but {len(tree.other_audio)} of other formats such as {other.path}; "
            f"convert them, e.g. ffmpeg -i {other.name} {other.stem}.flac"
        )
    return f"{tree.place}: no wav or flac file below it; expected one of:\n{_expected()}"
