"""The naming schemes that we read: an explicit table, and detection among them."""

from __future__ import annotations

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import Layout, Named
from asd_ray.clips.layouts._years import year_of_sections
from asd_ray.clips.layouts.dcase2020 import Dcase2020
from asd_ray.clips.layouts.dcase2021 import Dcase2021
from asd_ray.clips.layouts.dcase2022 import Dcase2022
from asd_ray.clips.layouts.folders import Folders
from asd_ray.clips.layouts.mimii import Mimii
from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError, listing, unknown

__all__ = ["LAYOUTS", "Layout", "Named", "choose"]

_ALL: list[Layout] = [Dcase2020(), Dcase2021(), *map(Dcase2022, range(2022, 2027)), Mimii(), Folders()]
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}


def choose(tree: Tree, name: str | None) -> tuple[Layout, list[Problem]]:
    """The named layout, or the one that the files tell; an error says what was found and what is expected."""
    if not tree.audio:
        raise AsdRayError(_nothing(tree))
    if name is not None:
        if name not in LAYOUTS:
            raise unknown("layout", name, LAYOUTS)
        if LAYOUTS[name].claims(tree) == 0:
            raise AsdRayError(
                f"{tree.place}: no file is named as --layout {name} expects ({LAYOUTS[name].expected}); "
                f"the first file is {tree.audio[0].path}; leave --layout out to detect it"
            )
        return LAYOUTS[name], []
    first = LAYOUTS["dcase2020"].claims(tree)
    sections = max(LAYOUTS["dcase2021"].claims(tree), LAYOUTS["dcase2022"].claims(tree))
    if first and sections:
        raise AsdRayError(
            f"{tree.place}: holds {first} clips named as dcase2020 and {sections} named as a later year; "
            "give the folder of one dataset"
        )
    if first:
        return LAYOUTS["dcase2020"], []
    if sections:
        year, notes = year_of_sections(tree)
        return LAYOUTS[f"dcase{year}"], notes
    mimii, folders = LAYOUTS["mimii"].claims(tree), LAYOUTS["folders"].claims(tree)
    if mimii and mimii == folders:
        return LAYOUTS["mimii"], []
    if folders:
        return LAYOUTS["folders"], []
    raise AsdRayError(
        f"{tree.place}: {len(tree.audio)} audio files, none named as a layout that we know "
        f"(the first is {tree.audio[0].path}); expected one of:\n{_expected()}"
    )


def _expected() -> str:
    return listing(f"{name:<10} {layout.expected}" for name, layout in LAYOUTS.items())


def _nothing(tree: Tree) -> str:
    if tree.other_audio:
        other = tree.other_audio[0]
        return (
            f"{tree.place}: no wav or flac file, but {len(tree.other_audio)} of other formats such as {other.path}; "
            f"convert them, e.g. ffmpeg -i {other.name} {other.stem}.flac"
        )
    return f"{tree.place}: no wav or flac file below it; expected one of:\n{_expected()}"
