"""The arguments of ``asd-ray search``."""

from __future__ import annotations

import argparse

from asd_ray.cli._dataset_options import add_reading_options
from asd_ray.cli._types import above_0, amount, duration, gib, names, positive, seed_number

LOCAL = "local"
JOINED = "local: a private Ray on this computer (default); auto or HOST:PORT: join a running Ray"
LOG_LEVELS = ("debug", "info", "warning", "error")


def add_arguments(to: argparse.ArgumentParser) -> None:
    to.add_argument("machines", nargs="*", metavar="MACHINE", help="such as fan (default: all of the dataset)")
    to.add_argument("--data", metavar="DIR", help="the dataset, a folder or s3://… (default: the demo set)")
    to.add_argument("--run", metavar="RUN", help="folder or s3://… of results (default: runs/<name of the dataset>)")
    to.add_argument("--families", type=names, default=(), metavar="A,B", help="names, package.module:Class, or all")
    to.add_argument("--trials", type=positive, metavar="N", help="per machine and family (default 20)")
    to.add_argument("--status", metavar="RUN", help="older form of: asd-ray status RUN")
    to.add_argument("--time", type=duration, metavar="30m", help="start no trial after this long")
    to.add_argument("--trial-time", type=duration, metavar="2h", help="end a trial that takes longer, as failed")
    to.add_argument("--epochs-cap", type=positive, metavar="N", help="train no trial for longer")
    to.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="seed of the trials and of Optuna (default 0)"
    )
    to.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="[FAMILY=]FILE",
        help="Python file with a search space to use instead of the shipped one; it is run as code",
    )
    to.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[FAMILY.]NAME=VALUE",
        help="fix a parameter: every trial has this value, and Optuna does not draw it; such trials are a study of "
        "their own",
    )
    to.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NET=FILE",
        help="pretrained weights that you bring, such as mobilenet_v3=mobilenet_v3_large.pth; also looked for in the "
        "folder of $ASD_RAY_WEIGHTS (default: training starts at random)",
    )
    to.add_argument(
        "--checkpoint",
        choices=("last", "oracle"),
        default="last",
        help="which epoch counts: the last, or (oracle) the one with the best test score",
    )
    to.add_argument(
        "--objective",
        choices=("labels", "normal-only"),
        help="what trials are compared by: labelled test clips, or faults injected into normal clips, which needs no "
        "anomaly (default: labels of machines that have 4 test clips of each, else normal-only)",
    )
    to.add_argument(
        "--keep-unseen",
        type=float,
        default=0.0,
        metavar="P",
        help="share of the labelled test clips that neither the search nor an ensemble sees, so that they measure the "
        "final ensemble (default 0)",
    )
    to.add_argument(
        "--faults",
        action="store_true",
        help="with the objective labels: score injected faults, too, for recipes that choose without labels",
    )
    to.add_argument(
        "--retry-failed",
        action="store_true",
        help="run failed trials again; their files are set aside, not deleted",
    )
    to.add_argument(
        "--keep-states",
        default="best:3",
        metavar="WHICH",
        help="whose learned states are stored: best:N of each machine and family and the paper's (default best:3), "
        "all, or none",
    )
    to.add_argument(
        "--held-out",
        type=float,
        default=0.1,
        metavar="P",
        help="share of normal clips held out of training (default 0.1)",
    )
    to.add_argument(
        "--jointly", action="store_true", help="train each trial on all named machines together, as STgram-MFN does"
    )
    to.add_argument(
        "--prior",
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN",
        help="runs, also this one: settings that were good on their machines are tried first; name machines before it",
    )
    add_where_it_runs(to, "ray://HOST:10001: run the search on that cluster while this command stays open")
    to.add_argument(
        "--bfloat16",
        action="store_true",
        help="train nets in it on processors that have it, as GPUs always do: quicker, with other scores",
    )
    to.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="warning",
        help="of log lines on standard error; info prints one line per event",
    )
    add_reading_options(to)


def add_where_it_runs(to: argparse.ArgumentParser, further_address: str = "") -> None:
    """The options of each command that searches. `further_address` is the help for what else ``--address`` may be."""
    where = to.add_argument_group("where it runs")
    where.add_argument(
        "--address",
        default=LOCAL,
        metavar="WHERE",
        help="; ".join(filter(None, (JOINED, further_address))),
    )
    where.add_argument("--serial", action="store_true", help="in this process, without Ray: for debugging")
    where.add_argument("--cpus", type=positive, metavar="N", help="number of CPUs for the private Ray (default: all)")
    where.add_argument("--cpus-per-trial", type=above_0, metavar="N", help="instead of the family's own")
    where.add_argument(
        "--gpus-per-trial",
        type=amount,
        metavar="N",
        help="for families that use a GPU: 0.25 runs four trials per GPU",
    )
    where.add_argument("--memory-per-trial", type=gib, metavar="GIB", help="memory that Ray reserves for each trial")
    where.add_argument("--no-dashboard", action="store_true", help="start Ray without its dashboard")
