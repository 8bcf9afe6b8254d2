"""``asd-ray search``: try detectors and their parameters on machines."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._run import run
from asd_ray.cli._search_arguments import add_arguments
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch, ray and pandas are imported where they are used, so that --help answers at once
    from asd_ray.tuning.config import Runtime, SearchConfig
    from asd_ray.tuning.session import Session

EXAMPLES = [
    "asd-ray search fan                                   # no data given: the synthetic demo set",
    "asd-ray search fan --data dcase2023t2/ --trials 40",
    "asd-ray search valve --data dcase2023t2/ --prior runs/dcase2022  # first what was good on its machines",
    "asd-ray search --data dcase2023t2/ --time 8h         # all machines of the dataset",
    "asd-ray search fan pump --data d/ --families autoencoder,idnn,my.module:MyDetector",
    "asd-ray search fan --data d/ --families idnn --space my_idnn.py --serial",
    "asd-ray search fan --data d/ --families stgram --set head=softmax  # the same in every trial",
    "asd-ray search --data recordings/                    # only normal/ folders: compared by injected faults",
    "asd-ray search fan --data dcase2023t2/ --keep-unseen 0.5  # half of the labels measure the final ensemble once",
    "asd-ray search fan --data s3://b/d --run s3://b/r --address auto  # on the head of a cluster, see cluster.yaml",
]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(
        "search",
        "Search detector families and their parameters for machines, into the ledger of a run. To resume a search, run "
        "the same command again; a larger --trials adds to it.",
        EXAMPLES,
    )
    add_arguments(arguments)
    return run(arguments, lambda args: _search(args, sys.argv[1:] if argv is None else argv), argv)


def _search(args: argparse.Namespace, argv: Sequence[str]) -> int:
    if sys.stderr.isatty():
        say("loading …", error=True)  # the imports may take seconds
    from asd_ray.tuning.environment import check_packages

    check_packages(serial=args.serial or args.status is not None)  # before the next import, which needs them
    from asd_ray._console import console

    screen = console(140)
    if args.status is not None:
        from asd_ray.tuning.watch.status import show_status

        show_status(args.status, screen)
        return 0
    from asd_ray.tuning.session import Session

    _refuse_paths_of_another_computer(args)
    config, runtime = _config(args), _runtime(args, shlex.join(["asd-ray", "search", *argv]))
    session = Session.check(config, runtime, run=args.run, spaces=tuple(args.space), cache=args.cache)
    if args.address.startswith("ray://"):
        from asd_ray.tuning.on_ray.client import search_on_cluster

        return search_on_cluster(args.address, argv, lambda line: screen.out(line, end=""))
    return _run(args, session)


def _run(args: argparse.Namespace, session: Session) -> int:
    from asd_ray.dataset import Dataset
    from asd_ray.run import Run
    from asd_ray.tuning.config import INTERRUPTED

    session.check_environment(args.cache)
    reading: dict[str, Any] = {
        "machines": args.machines or None,
        "rate": args.rate,
        "channel": args.channel,
        "cache": args.cache,
    }
    if args.data is None:
        data = Dataset.demo(**reading)
        say(
            f"no --data given: using the synthetic demo set in {data.root} (your own: --data FOLDER, see "
            "asd-ray data check)"
        )
    else:
        reading |= {"layout": args.layout, "labels": args.labels, "split_seed": args.split_seed}
        data = Dataset(args.data, skip_broken=args.skip_broken, **reading)
    result = Run(args.run or f"runs/{data.name}").run_session(session, data)
    if result.stopped == INTERRUPTED:
        return 130
    return 1 if result.failure else 0


def _config(args: argparse.Namespace) -> SearchConfig:
    from asd_ray.families.fixed import read_settings
    from asd_ray.families.weights import read_weights
    from asd_ray.tuning.config import SearchConfig, default_epochs_cap, default_trials

    is_demo = args.data is None
    return SearchConfig(
        machines=args.machines,
        families=args.families,
        fixed_params=read_settings(args.set),
        weights=read_weights(args.weights),
        jointly=args.jointly,
        trials=args.trials or default_trials(is_demo),
        epochs_cap=args.epochs_cap or default_epochs_cap(is_demo),
        seed=args.seed,
        held_out=args.held_out,
        checkpoint=args.checkpoint,
        objective=args.objective,
        keep_unseen=args.keep_unseen,
        faults=args.faults,
        cpus_per_trial=args.cpus_per_trial,
        gpus_per_trial=args.gpus_per_trial,
        memory_per_trial=args.memory_per_trial,
        bfloat16=args.bfloat16,
        retry_failed=args.retry_failed,
        keep_states=args.keep_states,
        prior=args.prior,
    )


def _runtime(args: argparse.Namespace, command: str) -> Runtime:
    from asd_ray.tuning.config import Runtime

    return Runtime(
        serial=args.serial,
        address=args.address,
        cpus=args.cpus,
        dashboard=not args.no_dashboard,
        time=args.time,
        trial_time=args.trial_time,
        log_level=args.log_level,
        command=command,
    )


def _refuse_paths_of_another_computer(args: argparse.Namespace) -> None:
    """A search that runs on a cluster needs paths as its nodes see them."""
    if not args.address.startswith("ray://"):
        return
    for text in args.weights:
        if not text.partition("=")[2].startswith("/"):
            raise AsdRayError(
                f"--address {args.address} runs the search on that cluster: name the file of --weights {text} as its "
                "nodes see it, an absolute path that every node has"
            )
    prior = [("--prior", run) for run in args.prior]
    for option, path in (("--data", args.data), ("--run", args.run), *prior):
        if path is None or not path.startswith(("/", "s3://")):
            raise AsdRayError(
                f"--address {args.address} runs the search on that cluster: name {option} as its nodes see it, an "
                "absolute path on a disk that they share or an s3:// address"
            )
