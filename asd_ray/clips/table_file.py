"""Write a clip table to a .csv or .parquet file."""

from __future__ import annotations

from pathlib import Path

from asd_ray._csv import write_frame
from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import check_text, storage_error

SUFFIXES = (".csv", ".parquet")
CURE = "name another file"


def check_table_path(path: Path) -> None:
    """Raise AsdRayError if `write_table` could not write `path`; call it before a long check of the dataset."""
    if path.suffix not in SUFFIXES:
        raise AsdRayError(f"{path}: a clip table is written as .csv or .parquet; change its ending")
    if not path.absolute().parent.is_dir():
        raise AsdRayError(f"{path}: its folder does not exist; make it, or name another file")
    check_text(path)


def write_table(table: ClipTable, path: Path, cure: str = CURE) -> None:
    """Write the rows of `table` to `path`. `cure` is the part of an error message that names another place."""
    try:
        with written_aside(path) as aside:
            write_frame(table.frame, aside) if path.suffix == ".csv" else table.frame.to_parquet(aside, index=False)
    except OSError as error:
        raise storage_error(error, path, "the clip table", cure) from error
