"""``asd-ray watch``: new sound of a machine, from a folder or a pipe, and one alarm per fault."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._terminal import say
from asd_ray.cli._arguments import parser
from asd_ray.cli._bundle_options import add_bundle_options, bundle_of, with_threshold_of
from asd_ray.cli._run import run
from asd_ray.cli._watch_arguments import STREAM, add_arguments, check_source
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # torch is imported where it is used, so that --help answers at once
    from asd_ray.deploy.bundle import Bundle
    from asd_ray.deploy.watch import AudioFolder, Delivery, Event, PcmStream, Receiver, Watch

EXAMPLES = (
    "asd-ray watch fan.bundle recordings/ --webhook https://host/alarms",
    "arecord -t raw -f S16_LE -r 48000 | asd-ray watch fan.bundle - --rate 48000",
    "ffmpeg -i rtsp://camera/1 -f s16le -ac 1 -ar 48000 - | asd-ray watch fan.bundle - --rate 48000 --mqtt broker/fan",
    "asd-ray watch fan.bundle recordings/ --false-alarms 1% --alarm-after 3 --of 5",
    "asd-ray watch fan.bundle recordings/ --recalibrate normal_of_this_week/",
)


def main(argv: Sequence[str] | None = None) -> int:
    command = parser(
        "watch",
        "Watch one machine. Sound is scored in windows that overlap; an alarm begins after several windows above the\n"
        "threshold, and ends when the scores are normal again. Each event is one line of JSON. What a receiver cannot\n"
        "take now waits on disk. Ctrl-C or SIGTERM ends the watch.",
        EXAMPLES,
    )
    add_bundle_options(command)
    add_arguments(command)
    return run(command, _watch, argv)


def _watch(args: argparse.Namespace) -> int:
    from asd_ray.deploy.watch import Watch, run_watch, show_line, stopped_by_signals

    receivers = _receivers(args)  # mistakes in options are found before the bundle is loaded
    bundle = bundle_of(args)
    source = _source(args, bundle)
    if args.recalibrate is not None:
        bundle = with_threshold_of(args, _recalibrated(args, bundle))
        if args.save_bundle is not None:
            _note(f"the recalibrated bundle is in {bundle.save(args.save_bundle)}")
    elif args.save_bundle is not None:
        raise AsdRayError("--save-bundle writes a recalibrated bundle; name normal clips: --recalibrate DIR")
    watch = Watch(
        bundle,
        source,
        id=args.id,
        window=_window(args, bundle),
        hop=args.hop,
        alarm_after=args.alarm_after,
        of=args.of,
        clear_after=args.clear_after,
        lower_threshold=args.lower_threshold,
        drift_windows=args.drift_windows,
        windows=args.windows,
    )
    _note_id(watch)
    deliveries = _deliveries(args, receivers, watch)

    def show(event: Event) -> None:
        show_line(event)
        if event.kind == "started":
            _note(f"{watch.scorer.machine} {watch.id or '(any id)'}: {watch.false_alarms.words}")

    with stopped_by_signals(watch):
        run_watch(watch, show, deliveries)
    return 0


def _window(args: argparse.Namespace, bundle: Bundle) -> float:
    return bundle.seconds if args.window is None else float(args.window)


def _source(args: argparse.Namespace, bundle: Bundle) -> PcmStream | AudioFolder:
    """Where sound comes from, as the options say; `check_source` has refused options that do not fit."""
    from asd_ray.clips.bank import as_channel
    from asd_ray.deploy.watch import AudioFolder, PcmStream

    channel = bundle.channel if args.channel is None else as_channel(args.channel)
    bundle.check_channel(channel, args.channels if args.source == STREAM else None)
    if args.source != STREAM:
        _note_existing(args)
        return AudioFolder(args.source, existing=args.existing, settle=args.settle, channel=channel)
    if args.channel is None and isinstance(channel, int) and channel >= args.channels:
        channel = 0  # the bundle's channel is one of its training clips
    trained = min(bundle.rate, *(bundle.profiles[""].rates if "" in bundle.profiles else ()))
    if args.rate < trained:
        _note(f"all sound above {args.rate // 2} Hz is missing, and training clips were at {trained} Hz or more")
    return PcmStream(sys.stdin.fileno(), args.rate, args.channels, channel, args.start)


def _recalibrated(args: argparse.Namespace, bundle: Bundle) -> Bundle:
    from asd_ray.clips.bank import as_channel
    from asd_ray.deploy.watch import Cutting, read_normal_sound

    window = _window(args, bundle)
    channel = bundle.channel if args.channel is None else as_channel(args.channel)
    sound = read_normal_sound(
        args.recalibrate, bundle, Cutting(bundle.rate, window, window), id=args.id, channel=channel
    )
    for broken in sound.broken:
        _note(f"left out: {broken.name}: {broken.reason}")
    windows = sum(map(len, sound.waves.values()))
    _note(f"calibrated with {windows} windows of {window:g} s from {sound.files} recordings in {args.recalibrate}")
    return bundle.recalibrated(sound.waves)


def _receivers(args: argparse.Namespace) -> list[tuple[Receiver, str]]:
    from asd_ray.deploy.watch import Mqtt, Webhook

    check_source(args)
    receivers: list[tuple[Receiver, str]] = [(Webhook(url), url) for url in args.webhook]
    receivers += [(Mqtt(address), address) for address in args.mqtt]
    if not receivers and args.spool is not None:
        raise AsdRayError("--spool is for events that wait for a receiver; name one with --webhook or --mqtt")
    return receivers


def _deliveries(args: argparse.Namespace, receivers: Sequence[tuple[Receiver, str]], watch: Watch) -> list[Delivery]:
    from asd_ray.deploy.watch import deliver

    return deliver(receivers, watch, _note, spool=args.spool, limit_mb=args.spool_limit)


def _note_id(watch: Watch) -> None:
    """Say once if the sound is not compared with that of one id."""
    ids, machine = ", ".join(watch.scorer.ids), watch.scorer.machine
    if not watch.id:
        _note(f"the sound is compared with all ids of {machine} ({ids}); name one: --id ID")
    elif watch.id not in watch.scorer.ids:
        _note(f"{machine} has no id {watch.id} in training; its sound is compared with all ids")


def _note_existing(args: argparse.Namespace) -> None:
    from asd_ray.clips._tree import walk

    count = 0 if args.existing else len(walk(Path(args.source)).audio)
    if count:
        _note(f"skipped {count} files that were there at the start; --existing reads them")


def _note(text: str) -> None:
    """Notes go to standard error, so that the output has events alone."""
    say(f"asd-ray watch: {text}", error=True)
