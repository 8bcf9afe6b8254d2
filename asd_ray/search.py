"""``asd-ray search``: find out which detectors, with which parameters, find this machine's faults."""

from __future__ import annotations

import argparse
import gc
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._progress import progress_bar
from asd_ray._terminal import say, typed
from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run
from asd_ray.cli._types import above_0, amount, duration, gib, names, positive, seed_number
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch, ray and pandas are imported where they are used, so that --help answers at once
    from asd_ray._console import Console
    from asd_ray.clips.table import ClipTable
    from asd_ray.ledger import Ledger
    from asd_ray.tuning.data import DataSource
    from asd_ray.tuning.on_ray.cluster import Cluster
    from asd_ray.tuning.plan import Plan, Wishes
    from asd_ray.tuning.search import Search

EXAMPLES = [
    "asd-ray search fan                                   # no data given: the synthetic demo set",
    "asd-ray search fan --data dcase2023t2/ --trials 40",
    "asd-ray search --data dcase2023t2/ --time 8h         # all machines of the dataset",
    "asd-ray search fan pump --data d/ --families autoencoder,idnn,my.module:MyDetector",
    "asd-ray search fan --data d/ --families idnn --space my_idnn.py --serial",
    "asd-ray search fan --data s3://b/d --run s3://b/r --address auto  # on the head of a cluster, see cluster.yaml",
    "asd-ray search --status runs/demo                    # from another terminal: how it is going",
]
DEMO = {"trials": 8, "epochs_cap": 20}  # a first look of a few minutes on two cores
LOCAL = "local"
# Ray reads it when it is imported. With 0 a Ray of one computer listens on 127.0.0.1 alone, else on every network.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
LEVELS = ("debug", "info", "warning", "error")
PATIENCE = 60.0  # seconds that a node of a cluster may lack what a trial needs
TRIALS = 20


def main(argv: Sequence[str] | None = None) -> int:
    made = parser(
        "search",
        "Search detector families and their parameters for machines, into the ledger of a run. The same command goes "
        "on where a stopped one ended; a larger --trials adds to it.",
        EXAMPLES,
    )
    made.add_argument("machines", nargs="*", metavar="MACHINE", help="such as fan (default: all of the dataset)")
    made.add_argument("--data", metavar="DIR", help="the dataset, a folder or s3://… (default: the demo set)")
    made.add_argument("--run", metavar="RUN", help="folder or s3://… of results (default: runs/<name of the dataset>)")
    made.add_argument("--families", type=names, default=(), metavar="A,B", help="names, package.module:Class, or all")
    made.add_argument("--trials", type=positive, metavar="N", help=f"of each machine and family (default {TRIALS})")
    made.add_argument("--status", metavar="RUN", help="tell how the searches of a run are going, and do nothing else")
    made.add_argument("--time", type=duration, metavar="30m", help="start no trial after this long")
    made.add_argument("--trial-time", type=duration, metavar="2h", help="end a trial that takes longer, as failed")
    made.add_argument("--epochs-cap", type=positive, metavar="N", help="train no trial for longer")
    made.add_argument("--seed", type=seed_number, default=0, metavar="N", help="of trials and of Optuna (default 0)")
    made.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="[FAMILY=]FILE",
        help="replaces search_spaces/; it is run as code",
    )
    made.add_argument(
        "--checkpoint", choices=("last", "oracle"), default="last", help="oracle: the epoch best by test labels"
    )
    made.add_argument(
        "--retry-failed", action="store_true", help="run stored failures anew; their files are set aside, not deleted"
    )
    made.add_argument("--held-out", type=float, default=0.1, metavar="P", help="share of normals kept from training")
    made.add_argument(
        "--jointly", action="store_true", help="every trial learns from all these machines together, as STgram-MFN does"
    )
    where = made.add_argument_group("where it runs")
    where.add_argument(
        "--address",
        default=LOCAL,
        metavar="WHERE",
        help="local: a Ray of its own on this computer (default); auto or HOST:PORT: join the one that runs there; "
        "ray://HOST:10001: run it on that cluster for as long as this command follows it",
    )
    where.add_argument("--serial", action="store_true", help="in this process, without Ray: for debugging")
    where.add_argument("--cpus", type=positive, metavar="N", help="that a Ray of its own may use (default: all)")
    where.add_argument("--cpus-per-trial", type=above_0, metavar="N", help="instead of the family's own")
    where.add_argument(
        "--gpus-per-trial", type=amount, metavar="N", help="of families that want one: 0.25 is four trials a card"
    )
    where.add_argument("--memory-per-trial", type=gib, metavar="GIB", help="that Ray sets aside for each")
    where.add_argument("--no-dashboard", action="store_true", help="start Ray without its dashboard")
    made.add_argument(
        "--log-level", choices=LEVELS, default="warning", help="of log lines on stderr; info: one an event"
    )
    data = made.add_argument_group("how the dataset is read (see asd-ray data check)")
    data.add_argument("--layout", metavar="NAME")
    data.add_argument("--labels", type=Path, metavar="DIR")
    data.add_argument("--split-seed", type=int, default=0, metavar="N")
    data.add_argument(
        "--rate", type=positive, default=16_000, metavar="HZ", help="others are resampled (default 16000)"
    )
    data.add_argument("--channel", default="0", metavar="N")
    data.add_argument("--cache", type=Path, metavar="DIR")
    return run(made, lambda args: _search(args, sys.argv[1:] if argv is None else argv), argv)


def _search(args: argparse.Namespace, argv: Sequence[str]) -> int:
    from asd_ray.tuning.environment import check_environment, check_packages

    check_packages(serial=args.serial or args.status is not None)  # before the next import, which needs them
    from asd_ray._console import console as console_of

    console = console_of(140, soft_wrap=True)
    if args.status is not None:
        from asd_ray.tuning.watch.status import show_status

        show_status(args.status, console)
        return 0
    _refuse_early(args)
    args.command = shlex.join(["asd-ray", "search", *argv])
    if args.address.startswith("ray://"):
        from asd_ray.tuning.on_ray.client import search_there

        return search_there(args.address, argv, lambda line: console.out(line, end=""))
    check_environment(args.cache, args.address, serial=args.serial)
    table = _table(args, console)
    if args.serial:
        return _run(args, table, console)
    if args.address == LOCAL:
        os.environ.setdefault(LOOPBACK, "0")
    from asd_ray.tuning.on_ray.cluster import ray_at

    with ray_at(args.address, cpus=args.cpus, dashboard=not args.no_dashboard) as dashboard:
        return _run(args, table, console, dashboard)


def _run(args: argparse.Namespace, table: ClipTable, console: Console, dashboard: str = "") -> int:
    import torch

    from asd_ray.clips.bank import as_channel, open_bank
    from asd_ray.ledger import Ledger
    from asd_ray.ledger.forgetting import forget
    from asd_ray.storage.study_locks import StudyLocks
    from asd_ray.tuning.data import DataSource
    from asd_ray.tuning.environment import check_run
    from asd_ray.tuning.on_ray.cluster import Cluster
    from asd_ray.tuning.plan import before_decoding, chosen_families, make_plan
    from asd_ray.tuning.search import Search, interruptible
    from asd_ray.tuning.watch._base import Watcher
    from asd_ray.tuning.watch.board import Board, leaderboard
    from asd_ray.tuning.watch.log_lines import LogLines, log_to
    from asd_ray.tuning.watch.prometheus import Meters
    from asd_ray.tuning.watch.status_file import StatusFile
    from asd_ray.tuning.watch.tensorboard import Curves

    cluster = None if args.serial else Cluster(args.address)
    has_gpu = torch.cuda.is_available() if cluster is None else cluster.room.gpu > 0
    wishes = _wishes(args, table)
    families, left_out = chosen_families(wishes.families, has_gpu)
    unsuited, table = before_decoding(wishes, families, table, args.rate)
    cache = str(args.cache) if args.cache else None
    source = DataSource(table, args.rate, as_channel(args.channel), cache, is_demo=args.data is None)
    with progress_bar("decoding") as progress:
        source.use(open_bank(table, rate=args.rate, channel=source.channel, cache=args.cache, progress=progress))
    ledger = Ledger(args.run or f"runs/{source.name}")
    check_run(ledger.layout)
    locks = StudyLocks(ledger.layout)
    try:
        plan = make_plan(wishes, source, ledger, locks, families, has_gpu, unsuited)
        _say_plan(plan, wishes, left_out, console)
        if cluster is not None:
            _preflight(args, cluster, plan, source, ledger, console, dashboard)
        if plan.again:
            forget(ledger, plan.again)

        def slots() -> float:
            return 1.0 if cluster is None else max(cluster.at_once(study.share) for study in plan.studies)

        def has() -> dict[str, float]:
            if cluster is None:
                return {}
            return {"nodes": len(cluster.nodes), "CPU": cluster.now.cpu, "GPU": cluster.now.gpu}

        board = Board(slots, console)
        watchers: list[Watcher] = [board, LogLines(), Curves(ledger.layout, lambda t: console.print(f"note: {t}"))]
        watchers.append(StatusFile(ledger.layout, command=args.command, slots=slots, cluster=has))
        if cluster is not None:
            watchers.append(Meters(ledger.layout.url(ledger.layout.base), cluster))
        deadline = None if args.time is None else time.monotonic() + args.time
        elsewhere = args.address != LOCAL
        search = Search(plan.studies, source, ledger, deadline=deadline, watchers=watchers, elsewhere=elsewhere)
        with log_to(ledger.layout, args.log_level, console):
            try:
                search.turn()
                with interruptible(search, console.print), board.shown(search):
                    _drive(args, search, cluster)
            except KeyboardInterrupt:
                console.print("stopped now: trials in flight are not stored")
                search.stopping = "Ctrl-C"
            finally:
                search.abandon()
                search.close()
        leaderboard(plan.studies, console)
        return _say_end(search, ledger.layout.root, console)
    finally:
        locks.release()


def _drive(args: argparse.Namespace, search: Search, cluster: Cluster | None) -> None:
    from asd_ray.tuning.on_ray.dispatch import Rules, run_on_ray
    from asd_ray.tuning.search import run_serially

    if not any(study.missing for study in search.studies):
        return
    if cluster is None:
        gc.freeze()  # as dispatch.TrialWorker does
        run_serially(search)
    else:
        run_on_ray(search, cluster, Rules(args.trial_time, PATIENCE if args.address != LOCAL else 0.0))


def _preflight(
    args: argparse.Namespace,
    cluster: Cluster,
    plan: Plan,
    source: DataSource,
    ledger: Ledger,
    console: Console,
    dashboard: str,
) -> None:
    """What there is and what will run at once, said before anything runs."""
    from asd_ray._console import flagged
    from asd_ray.tuning.on_ray.preflight import check_nodes, told_plan

    cluster.check(plan.studies)
    for line in told_plan(cluster, plan.studies):
        console.print(line)
    if args.address != LOCAL:
        source.run_id = ledger.marked()
        for line in check_nodes(ledger, source.run_id):
            console.print(flagged("warning", line, "yellow"))
    if dashboard:
        console.print(f"Ray dashboard: http://{dashboard} (it asks for the token that `ray get-auth-token` prints)")


def _table(args: argparse.Namespace, console: Console) -> ClipTable:
    from asd_ray._console import flagged
    from asd_ray.clips.scan import scan, searchable

    if args.data is None:
        from asd_ray.clips.demo import make_demo
        from asd_ray.storage.caches import CACHE_CURE, cache_root

        folder = cache_root(args.cache) / "demo"
        console.print(
            f"no --data given: the synthetic demo set is made and used, in {folder} (your own: --data FOLDER, see "
            "asd-ray data check)"
        )
        with progress_bar("making") as progress:
            make_demo(folder, machines=args.machines or None, grow=True, progress=progress, cure=CACHE_CURE)
        return scan(folder, machines=args.machines)
    table = scan(
        args.data,
        layout=args.layout,
        labels=args.labels,
        split_seed=args.split_seed,
        machines=args.machines or None,
        cache=args.cache,
    )
    searchable(table, args.machines)
    for problem in table.problems:
        if problem.severity == "warning":
            console.print(flagged("warning", problem, "yellow"))
    return table


def _wishes(args: argparse.Namespace, table: ClipTable) -> Wishes:
    from asd_ray.clips.scan import searchable
    from asd_ray.tuning.plan import Wishes

    demo = DEMO if args.data is None else {"trials": TRIALS}
    return Wishes(
        machines=searchable(table, args.machines),
        families=args.families,
        spaces=args.spaces,
        jointly=args.jointly,
        trials=args.trials or demo["trials"],
        epochs_cap=args.epochs_cap or demo.get("epochs_cap"),
        seed=args.seed,
        held_out=args.held_out,
        checkpoint=args.checkpoint,
        cpus_per_trial=args.cpus_per_trial,
        gpus_per_trial=args.gpus_per_trial,
        memory_per_trial=args.memory_per_trial,
        retry_failed=args.retry_failed,
    )


def _refuse_early(args: argparse.Namespace) -> None:
    """At once, before data is made or Ray is started."""
    from asd_ray.ledger import RunLayout
    from asd_ray.tuning.environment import check_gpu, check_run
    from asd_ray.tuning.plan import chosen_families, spaces_by_family

    families, _ = chosen_families(args.families, gpu=True)
    for each in families:
        each.check()
    args.spaces = spaces_by_family(args.space, families)  # loaded once: a file of a user's is run as code
    if args.run is not None:
        layout = RunLayout(args.run)  # refuses what can be no run
        if not args.address.startswith("ray://"):  # else it is the cluster's
            check_run(layout)
    if not 0 <= args.held_out <= 0.5:
        raise AsdRayError(f"--held-out must be a share between 0 and 0.5 but got {args.held_out:g}")
    if args.serial and (args.trial_time or args.address != LOCAL):
        raise AsdRayError("--serial runs in this very process: leave out --address and --trial-time, or --serial")
    if args.serial and args.cpus_per_trial and args.cpus_per_trial > (cpus := os.cpu_count() or 1):
        raise AsdRayError(f"--cpus-per-trial {args.cpus_per_trial:g}: this computer has {cpus}; ask for at most that")
    if args.cpus and args.address != LOCAL:
        raise AsdRayError(f"--cpus is for a Ray of its own, but --address {args.address} joins one; leave one out")
    if args.address.startswith("ray://"):
        for option, path in (("--data", args.data), ("--run", args.run)):
            if path is None or not path.startswith(("/", "s3://")):
                raise AsdRayError(
                    f"--address {args.address} runs the search on that cluster: name {option} as its nodes see it, "
                    "an absolute path on a disk that they share or an s3:// address"
                )
    if args.serial and args.gpus_per_trial != 0 and any(each.resources.gpu for each in families):
        check_gpu()
    if not args.gpus_per_trial or args.address != LOCAL:
        return
    import torch

    if not torch.cuda.is_available():
        raise AsdRayError(
            f"--gpus-per-trial {args.gpus_per_trial:g}: torch sees no GPU here; leave the option out to search on "
            "CPUs, or install the CUDA build of torch where there is one"
        )


def _say_plan(plan: Plan, wishes: Wishes, left_out: list[str], console: Console) -> None:
    for line in plan.elsewhere:
        console.print(f"note: {line}; left to it")
    for line in plan.left_out:
        console.print(f"left out: {line}", markup=False)
    if not plan.studies:
        raise AsdRayError("every study of this command is being searched already; wait for it, or choose another --run")
    for note in plan.notes:
        console.print(f"note: {note}")
    if left_out:
        console.print(f"left out, since they want a GPU: {', '.join(left_out)}; include them with --families all")
    cells = " or ".join(sorted(plan.cells))
    cap = f", at most {wishes.epochs_cap} epochs each (--epochs-cap)" if wishes.epochs_cap else ""
    console.print(
        f"{len(plan.studies)} studies of {wishes.trials} trials{cap}: {', '.join(study.name for study in plan.studies)}"
    )
    console.print(
        f"objective: harmonic mean of {cells} on the labelled test clips. Protocol oracle: these labels choose "
        "parameters and variants, so the numbers are optimistic"
    )
    stored = sum(study.count() for study in plan.studies)
    if stored:
        console.print(f"{stored} trials are stored already and are not run again")
    for study in plan.studies:
        if study.elsewhere:
            console.print(
                f"note: {study.name}: {study.elsewhere} stored trials of other settings, of another search space or "
                "of another version of the class do not count here"
            )


def _say_end(search: Search, root: str, console: Console) -> int:
    from asd_ray.tuning.watch.board import fruitless

    stored = sum(study.count() for study in search.studies)
    missing = sum(study.missing for study in search.studies)
    for study in search.studies:
        if study.exhausted:
            console.print(f"note: {study.name} has no untried parameters left; its space is small")
    console.print(f"{search.ended} trials run now, {stored} in all. The run is in {root}")
    console.print(f"every trial: {typed('asd-ray', 'ledger', 'ls', root, '--sort', 'objective')}")
    if failed := fruitless(search.studies):
        say(f"asd-ray search: {failed}", lines=True, error=True)
    if search.error:
        raise AsdRayError(f"{search.error}\nall {stored} stored trials are kept; fix that and run the same command")
    if search.stopping:
        console.print(f"ended early ({search.stopping}): {missing} trials are missing; run the same command to go on")
    if search.stopping == "Ctrl-C":
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
