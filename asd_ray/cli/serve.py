"""``asd-ray serve``: score recordings that programs send over HTTP."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._bundle_options import share
from asd_ray.cli._run import run
from asd_ray.cli._types import above_0, amount, port_number, positive
from asd_ray.cli._weights_option import add_weights_option

if TYPE_CHECKING:  # torch and ray are imported where they are used, so that --help answers at once
    from asd_ray.deploy.bundle import Bundle

LOCAL = "local"
EXAMPLES = (
    "asd-ray serve fan.bundle                              # POST recordings to http://127.0.0.1:8000/fan/score",
    "asd-ray serve left=a/fan.bundle right=b/fan.bundle --false-alarms 1%",
    "asd-ray serve fan.bundle --host 0.0.0.0               # other computers, with the token of ray get-auth-token",
    "asd-ray serve fan.bundle --replicas 4 --gpus-per-replica 0.25",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "serve",
        "Score recordings that programs send over HTTP, with Ray Serve. POST a wav or flac file to /NAME/score?id=ID;\n"
        "the answer is the JSON of asd-ray score. Ctrl-C stops it. A server that stays up: see serve.yaml.",
        EXAMPLES,
    )
    add = command.add_argument
    add("bundles", nargs="+", metavar="[NAME=]BUNDLE", help="folders that asd-ray bundle wrote (NAME: the machine)")
    add(
        "--false-alarms",
        type=share,
        metavar="1%",
        help="set each threshold so that this share of normal clips exceeds it",
    )
    add("--host", default="127.0.0.1", metavar="HOST", help="where it listens (default: only for this computer)")
    add("--port", type=port_number, default=8000, metavar="N", help="(default 8000)")
    add("--token", action="store_true", help="require Ray's token on this computer as well; other hosts always need it")
    add("--max-megabytes", type=float, default=64.0, metavar="MB", help="the largest request (default 64)")
    add("--max-minutes", type=float, default=10.0, metavar="MIN", help="the longest recording (default 10)")
    add_weights_option(command)
    where = command.add_argument_group("where it runs")
    where.add_argument(
        "--address",
        default=LOCAL,
        metavar="WHERE",
        help="local: a private Ray on this computer (default); auto or HOST:PORT: join a running Ray",
    )
    where.add_argument("--replicas", type=positive, default=1, metavar="N", help="processes that score (default 1)")
    where.add_argument("--cpus-per-replica", type=above_0, default=1.0, metavar="N", help="CPUs of each (default 1)")
    where.add_argument(
        "--gpus-per-replica", type=amount, default=0.0, metavar="N", help="0.25: four replicas share a GPU (default 0)"
    )
    return run(command, _serve, argv)


def _serve(args: argparse.Namespace) -> int:
    from asd_ray.tuning.ray_settings import import_ray

    import_ray(args.address)  # before the next imports, which need it
    from asd_ray.deploy.serve.config import ServeConfig
    from asd_ray.deploy.serve.naming import read_bundles
    from asd_ray.deploy.serve.server import check_port, check_resources, serving
    from asd_ray.deploy.serve.token import is_loopback
    from asd_ray.tuning.on_ray.cluster import ray_at

    found = read_bundles(args.bundles)
    config = ServeConfig(
        {name: path for name, (path, _) in found.items()},
        token=args.token or not is_loopback(args.host),
        max_megabytes=args.max_megabytes,
        max_minutes=args.max_minutes,
        false_alarms=args.false_alarms,
    )
    replicas = {"replicas": args.replicas, "cpus": args.cpus_per_replica, "gpus": args.gpus_per_replica}
    if args.address == LOCAL:
        check_port(args.host, args.port)
    is_ready = False
    try:
        with ray_at(args.address, dashboard=False), _terminated_as_interrupted():
            if args.address == LOCAL:
                check_resources(**replicas)
            with serving(config, host=args.host, port=args.port, **replicas, ray_ends=args.address == LOCAL) as address:
                is_ready = True
                _say_ready(address, {name: bundle for name, (_, bundle) in found.items()}, config.token)
                threading.Event().wait()
    except KeyboardInterrupt:
        if not is_ready:
            raise
    say("stopped")
    return 0


def _say_ready(address: str, bundles: Mapping[str, Bundle], token: bool) -> None:
    for name, bundle in bundles.items():
        count = len(bundle.members)
        members = f"{count} member{'s' * (count != 1)}"
        say(f"{name}: {bundle.machine} (ids {', '.join(bundle.ids)}), {members} → {address}/{name}/score")
    name, bundle = next(iter(bundles.items()))
    header = '-H "Authorization: Bearer $(ray get-auth-token)" ' if token else ""
    say(f"try: curl {header}--data-binary @new.wav '{address}/{name}/score?id={bundle.ids[0]}'")
    say("Ctrl-C stops the server")
    sys.stdout.flush()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does. Use it in a Ray that is started, because Ray sets a handler of its own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
