"""The options of a verb that may read the dataset of a search: where it is, and how it is decoded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.cli._types import positive

if TYPE_CHECKING:  # pandas is imported where it is used, so that --help answers at once
    from asd_ray.dataset import Dataset


def add_reading_options(to: argparse.ArgumentParser) -> None:
    data = to.add_argument_group("how the dataset is read (see asd-ray data check)")
    add = data.add_argument
    add("--layout", metavar="NAME", help="naming scheme (default: detected)")
    add("--labels", type=Path, metavar="DIR", help="label lists kept outside the folder")
    add("--split-seed", type=int, default=0, metavar="N", help="used if there is no test split (default 0)")
    add("--rate", type=positive, default=16_000, metavar="HZ", help="clips are resampled to it (default 16000)")
    add("--channel", default="0", metavar="N", help="the channel to use, mean, or all to keep each (default 0)")
    add("--skip-broken", action="store_true", help="leave out clips that cannot be read, with a warning for each")
    add("--cache", type=Path, metavar="DIR", help="for decoded audio (default: $ASD_RAY_CACHE or ~/.cache/asd_ray)")


def dataset_of(args: argparse.Namespace) -> Dataset | None:
    """The dataset of --data; None without it."""
    return None if args.data is None else named_dataset(args)


def named_dataset(args: argparse.Namespace) -> Dataset:
    """The dataset of --data, which must be given."""
    from asd_ray.dataset import Dataset

    return Dataset(
        args.data,
        layout=args.layout,
        labels=args.labels,
        split_seed=args.split_seed,
        rate=args.rate,
        channel=args.channel,
        cache=args.cache,
        skip_broken=args.skip_broken,
    )
