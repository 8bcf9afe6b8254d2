"""``asd-ray data bank``: decode a dataset once per node."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from asd_ray._progress import progress_bar
from asd_ray._terminal import say
from asd_ray.cli._arguments import subparser
from asd_ray.cli.data._dataset import dataset_options, machine_count, print_problems, print_search, scan_dataset

if TYPE_CHECKING:
    from asd_ray.clips.bank import Bank

EXAMPLES = (
    "asd-ray data bank datasets/dcase2023t2/",
    "asd-ray data bank /shared/dcase2020 --machine fan --cache /local/nvme/asd_ray",
    "asd-ray data bank mimii/ --channel 3 --verify",
)


def add_bank(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparser(actions, "bank", "decode a dataset once per node, for all later runs", EXAMPLES)
    dataset_options(command)
    command.add_argument("--verify", action="store_true", help="read all samples back and compare their digests")
    command.set_defaults(act=_bank)


def _bank(args: argparse.Namespace) -> int:
    from asd_ray.clips.bank import open_bank

    table = scan_dataset(args)
    start = time.perf_counter()
    with progress_bar("decoding") as progress:
        bank = open_bank(
            table,
            rate=args.rate,
            channel=args.channel,
            cache=args.cache,
            progress=progress,
            workers=args.workers,
            skip_broken=args.skip_broken,
        )
    _print_bank(bank, time.perf_counter() - start)
    if args.verify:
        broken = bank.verify()
        for path in broken:
            say(f"error: {path}: its stored samples changed; delete the store's folder above and run this again")
        say(f"verified {len(bank)} clips, {len(broken)} broken")
        if broken:
            return 1
    print_search(bank.table, args)
    return 0


def _print_bank(bank: Bank, seconds: float) -> None:
    machines = machine_count(len(bank.fingerprints))
    say(f"{len(bank)} clips of {machines}, {bank.sample_bytes / 2**20:.0f} MiB of samples, ready in {seconds:.1f} s:")
    for machine, fingerprint in bank.fingerprints.items():
        say(f"  {machine:<16} {fingerprint}  {bank.folder(machine)}")
    print_problems(bank.problems)
