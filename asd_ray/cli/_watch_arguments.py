"""The options of ``asd-ray watch``."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from asd_ray.cli._types import local_path, positive
from asd_ray.errors import AsdRayError

STREAM = "-"
OF_A_STREAM = ("rate", "channels", "start")
OF_A_FOLDER = ("existing", "settle")


def add_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("source", metavar="FOLDER | -", help="a folder of recordings, or - for raw samples from a pipe")
    to.add_argument("--id", metavar="ID", help="the machine's id (default: its only one, else compared with all ids)")
    _sound(to.add_argument_group("sound"))
    _alarms(to.add_argument_group("windows and alarms"))
    _receivers(to.add_argument_group("receivers, besides standard output"))


def _sound(to: argparse._ArgumentGroup) -> None:
    add = to.add_argument
    add("--rate", type=positive, metavar="HZ", help="of the samples from the pipe: 16-bit, little-endian")
    add("--channels", type=positive, default=1, metavar="N", help="in the samples from the pipe (default 1)")
    add("--channel", metavar="N", help="the channel to use, from 0, mean or all (default: as in training)")
    add("--start", type=_time, metavar="TIME", help="of the first sample, such as 2026-11-26T08:00Z (default: now)")
    add("--existing", action="store_true", help="also read the files that are in the folder at the start")
    add("--settle", type=float, default=3.0, metavar="S", help="a file is whole after S seconds unchanged (default 3)")
    add("--recalibrate", type=local_path, metavar="DIR", help="learn units and threshold anew from these normal clips")
    add("--save-bundle", type=local_path, metavar="DIR", help="write the recalibrated bundle there, for the next watch")


def _alarms(to: argparse._ArgumentGroup) -> None:
    add = to.add_argument
    add("--window", type=float, metavar="S", help="seconds that are scored together (default: as training clips)")
    add("--hop", type=float, metavar="S", help="seconds from one window to the next (default: half a window)")
    add(
        "--alarm-after",
        type=positive,
        default=2,
        metavar="N",
        help="an alarm begins after N windows above the threshold (default 2)",
    )
    add("--of", type=positive, default=3, metavar="M", help="counted among the last M windows (default 3)")
    add(
        "--clear-after",
        type=positive,
        default=3,
        metavar="K",
        help="windows in a row that are not above the lower threshold end an alarm (default 3)",
    )
    add(
        "--lower-threshold",
        type=float,
        metavar="X",
        help="(default: the score that three quarters of the normal clips do not exceed)",
    )
    add("--drift-windows", type=positive, default=240, metavar="N", help="whose median is watched (default 240)")
    add("--windows", action="store_true", help="report the score of every window")


def _receivers(to: argparse._ArgumentGroup) -> None:
    add = to.add_argument
    add("--webhook", action="append", default=[], metavar="URL", help="POST every event; may be given several times")
    add("--mqtt", action="append", default=[], metavar="HOST[:PORT]/TOPIC", help='needs pip install "asd_ray[mqtt]"')
    add("--spool", type=local_path, metavar="DIR", help="where events wait for a receiver (default: in the cache)")
    add("--spool-limit", type=float, default=64.0, metavar="MB", help="of each receiver (default 64)")


def check_source(args: argparse.Namespace) -> None:
    """Raise AsdRayError for options that the source does not have."""
    is_stream = args.source == STREAM
    for name in OF_A_FOLDER if is_stream else OF_A_STREAM:
        if getattr(args, name) != _DEFAULTS[name]:
            kind = "a folder" if is_stream else "the samples of a pipe (-)"
            raise AsdRayError(f"--{name} is for {kind}; leave it out")
    if not is_stream:
        return
    if args.rate is None:
        raise AsdRayError("raw samples have no header; name their rate with --rate HZ, such as --rate 48000")
    if sys.stdin is None:
        raise AsdRayError("standard input is closed; put a program before it that writes raw samples to a pipe")
    if sys.stdin.isatty():
        raise AsdRayError(
            "standard input is a terminal; put a program before it that writes raw samples: arecord -t raw -f S16_LE "
            "-r 48000 | asd-ray watch BUNDLE - --rate 48000"
        )


_DEFAULTS = {"rate": None, "channels": 1, "start": None, "existing": False, "settle": 3.0}


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(f"must be a time such as 2026-11-26T08:00Z but got {text!r}") from error
