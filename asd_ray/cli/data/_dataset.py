"""The options that say which dataset to read and how, and what `check` and `bank` print alike."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import say, typed
from asd_ray.cli._types import local_path, positive

if TYPE_CHECKING:  # pandas is imported where it is used, so that --help answers at once
    from asd_ray.clips.table import ClipTable, Problem

SHOWN = 15  # problems per severity that are printed; --json has all of them
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
# Options of `data check` and `data bank` that a search needs as well, with their defaults.
SEARCH_OPTIONS = {"layout": None, "labels": None, "split_seed": 0, "rate": 16_000, "channel": "0", "cache": None}


class _LayoutNames:
    """The names of all layouts. They are read only when a help text is printed, because the table imports pandas."""

    def __str__(self) -> str:
        from asd_ray.clips.layouts import layouts

        return ", ".join(layouts())


class _StoreLayout(argparse._StoreAction):
    """Stores ``--layout``. argparse replaces ``%(layouts)s`` in its help text by this attribute."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.layouts = _LayoutNames()


def dataset_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("folder", help="the dataset's folder, or s3://bucket/folder")
    add("--layout", action=_StoreLayout, metavar="NAME", help="%(layouts)s (default: detected)")
    add("--labels", type=local_path, metavar="DIR", help="evaluation label lists kept outside the folder")
    add("--machine", action="append", metavar="NAME", help="only this machine; may be repeated")
    add("--split-seed", type=int, default=0, metavar="N", help="used if the dataset has no test split")
    add("--rate", type=positive, default=16_000, metavar="HZ", help="clips are resampled to it (default 16000)")
    add("--channel", default="0", metavar="N", help="the channel to use, mean, or all to keep each (default 0)")
    add("--skip-broken", action="store_true", help="leave out clips that cannot be read, with a warning for each")
    add("--workers", type=positive, metavar="N", help="threads (default: all cores)")
    add(
        "--cache",
        type=local_path,
        metavar="DIR",
        help="for decoded audio and for files from S3 (default: $ASD_RAY_CACHE or ~/.cache/asd_ray)",
    )


def scan_dataset(args: argparse.Namespace) -> ClipTable:
    from asd_ray.clips.scan import scan

    return scan(
        args.folder,
        layout=args.layout,
        labels=args.labels,
        split_seed=args.split_seed,
        machines=args.machine,
        cache=args.cache,
    )


def print_problems(problems: Sequence[Problem]) -> None:
    from asd_ray._console import console, flagged
    from asd_ray.clips.table import by_severity

    screen = console(soft_wrap=True)
    for severity, group in by_severity(problems).items():
        for problem in group[:SHOWN]:
            screen.print(flagged(severity, problem, COLOURS[severity]))
        if len(group) > SHOWN:
            more = f"… and {len(group) - SHOWN} more; asd-ray data check --json prints all"
            screen.print(flagged(severity, more, COLOURS[severity]))


def print_search(table: ClipTable, args: argparse.Namespace) -> None:
    """The next command: a search on the first machine that can be searched, if there is one."""
    from asd_ray.clips.searchable import unsearchable_reasons
    from asd_ray.tuning.objective import SHARES, share_to_hold_out

    reasons = unsearchable_reasons(table)
    machine = next((name for name in table.machines if name not in reasons), None)
    if machine is None:
        return
    words: list[object] = ["asd-ray", "search", machine, "--data", args.folder]
    for name, default in SEARCH_OPTIONS.items():
        if getattr(args, name) != default:
            words += [f"--{name.replace('_', '-')}", getattr(args, name)]
    if args.skip_broken:
        words.append("--skip-broken")
    share = share_to_hold_out(table.frame, machine)
    if share is None:
        say(f"{machine}: a search by normal sound alone needs more clips, since it holds some out of training")
        return
    if share > SHARES[0]:
        words += ["--held-out", f"{share:g}"]
    say(f"next: {typed(*words)}")


def machine_count(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"
