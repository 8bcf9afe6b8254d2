"""What the trials of a study are compared by: labels of test clips where there are enough, else injected faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from asd_ray.clips.hold_out import held_out
from asd_ray.clips.searchable import labelled_counts, reason_without_labels
from asd_ray.clips.table import NORMAL, TRAIN
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger import Ledger
from asd_ray.ledger.record import LABELS, NORMAL_ONLY, ORACLE
from asd_ray.ledger.units import objective_of
from asd_ray.tuning.config import SearchConfig

SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # held out: the default, and larger ones to try
LEAST_HELD_OUT = 4  # clips of a machine, for a search by normal sound alone

# Test clips of each label. With 3 of each, the candidate that the labels choose is worse than the one that a criterion
# without labels chooses; with 4 it is better (docs/criteria.md, benchmarks/few_labels.py).
LEAST_LABELLED = 4


def chosen_objective(machines: Sequence[str], config: SearchConfig, frame: pd.DataFrame, ledger: Ledger) -> str:
    """What the user named, else labels if every machine has enough. If that is injected faults, no label is read.

    Few labels count as enough where the run already compares trials of a machine by them, where held-out clips for
    injected faults are missing, and for a checkpoint by labels.
    """
    if config.objective == NORMAL_ONLY:
        return NORMAL_ONLY
    missing = {machine: reason for machine in machines if (reason := reason_without_labels(frame, machine))}
    if config.objective == LABELS and missing:
        lines = listing(f"{machine}: {reason}" for machine, reason in missing.items())
        raise AsdRayError(
            f"--objective labels: trials of these machines cannot be compared by labels:\n{lines}\n"
            "leave the option out to compare them by injected faults"
        )
    if missing and config.checkpoint == ORACLE:
        raise AsdRayError(
            f"--checkpoint oracle chooses epochs by labels, and these machines have none: {', '.join(missing)}; "
            "leave the option out"
        )
    if missing:
        return NORMAL_ONLY
    by_faults = (
        config.objective is None
        and config.checkpoint != ORACLE
        and any(_too_few_labels(machine, config, frame) for machine in machines)
        and not too_few_held_out(machines, config, frame)
        and not any(_is_by_labels(machine, ledger) for machine in machines)
    )
    return NORMAL_ONLY if by_faults else LABELS


def note_of_few_labels(machines: Sequence[str], config: SearchConfig, frame: pd.DataFrame) -> Iterator[str]:
    """Why machines that have labels are compared by injected faults, if the user did not ask for that."""
    if config.objective is None:
        for machine in machines:
            if not reason_without_labels(frame, machine) and (few := _too_few_labels(machine, config, frame)):
                yield (
                    f"{machine} has {few}, and a choice by labels needs {LEAST_LABELLED} of each, so its trials are "
                    "compared by injected faults; --objective labels compares them by labels"
                )


def too_few_held_out(machines: Sequence[str], config: SearchConfig, frame: pd.DataFrame) -> str:
    """Why trials of these machines cannot be compared by injected faults; "" if they can."""
    for machine in machines:
        train = _normal_training(frame, machine)
        count = int(held_out(train, config.held_out).sum())
        if count < LEAST_HELD_OUT:
            share = enough_held_out(frame, machine)
            cure = f"give --held-out {share:g}, or more clips" if share else "more normal clips are needed"
            return (
                f"{count} of {len(train)} normal clips of {machine} are held out, and trials that are compared by "
                f"injected faults need {LEAST_HELD_OUT}; {cure}"
            )
    return ""


def enough_held_out(frame: pd.DataFrame, machine: str) -> float | None:
    """The smallest of some shares that holds out enough clips for injected faults; None if no share does."""
    train = _normal_training(frame, machine)
    return next((share for share in SHARES if held_out(train, share).sum() >= LEAST_HELD_OUT), None)


def share_to_hold_out(frame: pd.DataFrame, machine: str) -> float | None:
    """The share for ``--held-out`` that a search of the machine needs; None if it has no labels and too few clips.

    It is the default where labels compare the trials. With a few labels these still can, if no share is enough.
    """
    lacks_labels = bool(reason_without_labels(frame, machine))
    if not lacks_labels and min(labelled_counts(frame, machine)) >= LEAST_LABELLED:
        return SHARES[0]
    share = enough_held_out(frame, machine)
    return SHARES[0] if share is None and not lacks_labels else share


def _normal_training(frame: pd.DataFrame, machine: str) -> pd.DataFrame:
    train = frame[(frame["machine"] == machine) & (frame["split"] == TRAIN)]  # no label of a test clip is read
    return train[train["label"] == NORMAL].reset_index(drop=True)


def _too_few_labels(machine: str, config: SearchConfig, frame: pd.DataFrame) -> str:
    """How many labelled clips a choice would have, in words, if they are too few; else ""."""
    left = [count - int(count * config.keep_unseen + 0.5) for count in labelled_counts(frame, machine)]
    if min(left) >= LEAST_LABELLED:
        return ""
    apart = " that are not set aside" if config.keep_unseen else ""
    return f"{left[0]} normal and {left[1]} anomalous test clips{apart}"


def _is_by_labels(machine: str, ledger: Ledger) -> bool:
    """Whether a search of this run has compared trials of the machine by labels."""
    return any(r.source == "search" and objective_of(r) == LABELS for r in ledger.records(machine))
