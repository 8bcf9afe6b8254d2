"""A dataset as a user opens it: its clips, its problems, its machines, its decoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._progress import progress_bar
from asd_ray.clips.bank import Bank, as_channel, open_bank
from asd_ray.clips.check import CheckReport, check
from asd_ray.clips.demo import cached_demo
from asd_ray.clips.scan import scan
from asd_ray.clips.table import ClipTable, Problem

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.tuning.data import DataSource


class Dataset:
    """Recordings in a folder or at an s3:// address. Nothing is read until it is asked for.

    ``Dataset("dcase2023t2/")`` or ``Dataset.demo()``. `layout` is the name of a naming scheme (default: detected),
    `labels` a folder with the label lists of an evaluation set, `machines` the only machines to keep. Clips of another
    rate than `rate` are resampled; `channel` is a number, "mean", or "all" to keep every channel. `cache` is where
    decoded audio is kept. With `skip_broken`, clips that cannot be read are left out with a warning; otherwise they are
    an error.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        layout: str | None = None,
        labels: str | Path | None = None,
        split_seed: int = 0,
        machines: str | Sequence[str] | None = None,
        rate: int = 16_000,
        channel: int | str = 0,
        cache: str | Path | None = None,
        skip_broken: bool = False,
    ) -> None:
        self.root = root
        self.rate, self.channel, self.cache = rate, as_channel(str(channel)), None if cache is None else str(cache)
        self.is_demo = False
        self._layout, self._labels, self._split_seed = layout, None if labels is None else Path(labels), split_seed
        self._machines = listed(machines or ()) or None
        self._skip_broken = skip_broken

    @classmethod
    def demo(
        cls,
        machines: str | Sequence[str] | None = None,
        *,
        rate: int = 16_000,
        channel: int | str = 0,
        cache: str | Path | None = None,
    ) -> Dataset:
        """The synthetic demo set, which is made in the cache when it is needed first."""
        from asd_ray.storage.caches import cache_root

        dataset = cls(cache_root(cache) / "demo", machines=machines, rate=rate, channel=channel, cache=cache)
        dataset.is_demo = True
        return dataset

    def __repr__(self) -> str:
        return f"Dataset({str(self.root)!r})"

    @cached_property
    def table(self) -> ClipTable:
        """All clips, and how they were named."""
        if self.is_demo:
            with progress_bar("making") as progress:
                cached_demo(self._machines, cache=self.cache, progress=progress)
        return scan(
            self.root,
            layout=self._layout,
            labels=self._labels,
            split_seed=self._split_seed,
            machines=self._machines,
            cache=self.cache,
        )

    @property
    def name(self) -> str:
        return self.table.root.name

    @property
    def clips(self) -> pd.DataFrame:
        """One row per clip: machine, id, domain, split, label, attributes, path and more."""
        return self.table.frame.copy()

    @property
    def machines(self) -> list[str]:
        return self.table.machines

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What names and folders show. `check` finds more, since it reads the audio."""
        return self.table.problems

    def check(self, *, decode: bool = True) -> CheckReport:
        """Read every clip, or with ``decode=False`` only the headers, and list all problems, each with its cure."""
        with progress_bar("checking") as progress:
            return check(
                self.table,
                rate=self.rate,
                channel=self.channel,
                decode=decode,
                cache=self.cache,
                progress=progress,
                skip_broken=self._skip_broken,
            )

    def bank(self) -> Bank:
        """The decoded audio, which is decoded once per node and kept in the cache."""
        with progress_bar("decoding") as progress:
            return open_bank(
                self.table,
                rate=self.rate,
                channel=self.channel,
                cache=self.cache,
                progress=progress,
                skip_broken=self._skip_broken,
            )

    def source(self) -> DataSource:
        """What a search sends to its workers: where the audio is, and how it is decoded."""
        from asd_ray.tuning.data import DataSource

        return DataSource(
            self.table, self.rate, self.channel, self.cache, is_demo=self.is_demo, skip_broken=self._skip_broken
        )


def listed(names: str | Sequence[str]) -> list[str]:
    """One name is a list of one, not of its letters."""
    return [names] if isinstance(names, str) else list(names)


def as_dataset(data: Dataset | str | Path) -> Dataset:
    """A dataset as it is, or that of a place."""
    return data if isinstance(data, Dataset) else Dataset(data)
