"""The files of a run on S3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.storage.files import Stored
from asd_ray.storage.run_layout import RunLayout
from asd_ray.storage.s3 import PATIENT, s3_filesystem


class S3Files:
    workers = 32  # threads wait for the network, not for a core

    def __init__(self, layout: RunLayout, attempts: int = 3) -> None:
        self.layout = layout
        self.filesystem = s3_filesystem(layout.options, attempts)

    def patient(self) -> S3Files:
        return S3Files(self.layout, PATIENT)

    def list(self, folder: str, prefix: str = "") -> list[Stored]:
        from pyarrow import fs

        with self._explained(folder):
            infos = self.filesystem.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        listed = (stored for stored in map(_stored, infos) if stored and stored.name.startswith(prefix))
        return sorted(listed, key=lambda stored: stored.path)

    def stat(self, path: str) -> Stored | None:
        with self._explained(path):
            return _stored(self.filesystem.get_file_info(path))

    def open(self, path: str) -> Any:
        with self._explained(path):
            return self.filesystem.open_input_file(path)

    def put(self, path: str, data: Any) -> None:
        """One request: S3 shows the whole object or none."""
        with self._explained(path), self.filesystem.open_output_stream(path) as out:
            out.write(data)

    def move(self, source: str, target: str) -> None:
        try:
            with self._explained(target):
                self.filesystem.copy_file(source, target)
                self.filesystem.delete_file(source)
        except AsdRayError as error:
            if self.stat(source) is None:  # S3 has another error for that
                raise FileNotFoundError(source) from error
            raise

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            self.filesystem.delete_file(path)

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(
                f"s3://{path}: S3 refused or did not answer; nothing already stored was harmed. Check the bucket, "
                f"AWS credentials and the endpoint, then run the same command again ({error})"
            ) from error


def _stored(info: Any) -> Stored | None:
    """Times in whole seconds: S3 has milliseconds in a listing, but not for a single object."""
    return Stored(info.path, info.size, int(info.mtime.timestamp()) if info.mtime else 0) if info.is_file else None
