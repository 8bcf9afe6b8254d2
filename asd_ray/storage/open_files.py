"""Open the files of a run: on a local disk or on S3, depending on its address."""

from __future__ import annotations

from asd_ray.storage.files import Files
from asd_ray.storage.run_layout import CURE, RunLayout


def open_files(layout: RunLayout, cure: str = CURE) -> Files:
    """The files of `layout`. `cure` is the part of an error message that names the option for another place."""
    if layout.is_s3:
        from asd_ray.storage.s3_files import S3Files

        return S3Files(layout)
    from asd_ray.storage.local_files import LocalFiles

    return LocalFiles(layout, cure)
