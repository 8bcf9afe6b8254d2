"""What a search is asked for: what to try, and where it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_ray._rules import ABOVE_0, AMOUNT, COUNT, DURATION, GIB, MOST, SEED, SHARE, Rule
from asd_ray.errors import AsdRayError
from asd_ray.families import Family, Space
from asd_ray.ledger.record import LAST, NORMAL_ONLY, OBJECTIVES, ORACLE
from asd_ray.tuning.state_policy import DEFAULT, StatePolicy

LOCAL = "local"
INTERRUPTED = "Ctrl-C"  # why a search stopped
CLIENT = "ray://"  # how the address of a cluster begins that runs the whole search
TRIALS = 20
DEMO_TRIALS, DEMO_EPOCHS_CAP = 8, 20  # a first look of a few minutes on two cores
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class SearchConfig:
    """What a search tries. The option of the command line that sets a field has the same name."""

    machines: Sequence[str] = ()  # empty: all of the dataset
    families: Sequence[str | type] = ()  # names, "package.module:Class" or classes; empty: all that suit the computer
    spaces: Mapping[str, Space] = field(default_factory=dict)  # of every family; empty: their own
    fixed_params: Mapping[str, Any] = field(default_factory=dict)  # --set: "[family.]name" -> its value in every trial
    weights: Mapping[str, str | Path] = field(default_factory=dict)  # net -> a file of pretrained weights for it
    jointly: bool = False  # each trial learns from all the machines together
    trials: int = TRIALS  # of each machine and family, those that are stored already included
    epochs_cap: int | None = None
    seed: int = 0  # of trials and of Optuna
    held_out: float = 0.1  # the share of normal training clips that no detector learns from
    checkpoint: str = LAST
    objective: str | None = None  # labels or normal-only; None: labels where there are enough, else normal-only
    keep_unseen: float = 0.0  # the share of labelled test clips that neither search nor ensembles see
    faults: bool = False  # trials score injected faults, too, where labels compare them
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    memory_per_trial: float | None = None  # GiB
    bfloat16: bool = False  # nets train in it on processors that have it; on GPUs they always do
    retry_failed: bool = False  # stored failures run again; their files are set aside
    keep_states: str = DEFAULT  # whose states are stored: best:N of each study and the paper's, all, or none
    prior: Sequence[str] = ()  # runs, or this one: what was good on their other machines is tried first

    def check(self) -> None:
        """Raise if a value is not of its type or out of its range."""
        _check("--held-out", self.held_out, SHARE)
        _check("--trials", self.trials, COUNT)
        _check("--seed", self.seed, SEED)
        _check_if_given("--epochs-cap", self.epochs_cap, COUNT)
        _check_if_given("--cpus-per-trial", self.cpus_per_trial, AMOUNT, ABOVE_0)
        _check_if_given("--gpus-per-trial", self.gpus_per_trial, AMOUNT)
        _check_if_given("--memory-per-trial", self.memory_per_trial, GIB)
        StatePolicy.parse(self.keep_states)
        if self.checkpoint not in (LAST, ORACLE):
            raise AsdRayError(f"--checkpoint must be {LAST} or {ORACLE} but got {self.checkpoint!r}")
        if self.objective is not None and self.objective not in OBJECTIVES:
            raise AsdRayError(f"--objective must be {' or '.join(OBJECTIVES)} but got {self.objective!r}")
        _check("--keep-unseen", self.keep_unseen, MOST)
        if self.objective == NORMAL_ONLY and not self.held_out:
            raise AsdRayError("--objective normal-only injects faults into held-out clips: give --held-out above 0")
        if self.faults and not self.held_out:
            raise AsdRayError("--faults injects faults into held-out clips: give --held-out above 0")
        if self.objective == NORMAL_ONLY and self.checkpoint == ORACLE:
            raise AsdRayError(
                "--checkpoint oracle chooses the epoch by labels: leave it out, or --objective normal-only"
            )


@dataclass(frozen=True)
class Runtime:
    """Where a search runs, and for how long."""

    serial: bool = False  # in this process, without Ray
    address: str = LOCAL  # of Ray: local, auto, HOST:PORT
    cpus: int | None = None  # that a Ray of its own may use; None: all
    dashboard: bool = True
    time: float | None = None  # seconds after which no trial starts
    trial_time: float | None = None  # seconds after which a trial is ended, as failed
    log_level: str = "warning"  # of log lines on standard error
    command: str = ""  # what started it, as `asd-ray status` shows it

    def check(self, config: SearchConfig, families: Sequence[Family]) -> None:
        """Raise if trials cannot run as they are asked for. Takes no time, and starts nothing."""
        _check_if_given("--time", self.time, DURATION)
        _check_if_given("--trial-time", self.trial_time, DURATION)
        _check_if_given("--cpus", self.cpus, COUNT)
        if self.serial and (self.trial_time or self.address != LOCAL):
            raise AsdRayError("--serial runs in this very process: leave out --address and --trial-time, or --serial")
        asked, there = config.cpus_per_trial, os.cpu_count() or 1
        if self.serial and asked and asked > there:
            raise AsdRayError(f"--cpus-per-trial {asked:g}: this computer has {there}; ask for at most that")
        if self.cpus and self.address != LOCAL:
            raise AsdRayError(f"--cpus is for a Ray of its own, but --address {self.address} joins one; leave one out")
        if self.log_level not in LOG_LEVELS:
            raise AsdRayError(f"--log-level must be one of {', '.join(LOG_LEVELS)} but got {self.log_level!r}")
        wants_gpu = any(each.resources.gpu for each in families)
        if self.serial and config.gpus_per_trial != 0 and wants_gpu:
            from asd_ray.tuning.environment import check_gpu

            check_gpu()
        if config.gpus_per_trial and self.address == LOCAL:
            _check_gpu_is_there(config.gpus_per_trial)


def _check_gpu_is_there(asked: float) -> None:
    import torch

    if not torch.cuda.is_available():
        raise AsdRayError(
            f"--gpus-per-trial {asked:g}: torch sees no GPU here; leave the option out to search on CPUs, or install "
            "the CUDA build of torch where there is one"
        )


def default_trials(is_demo: bool) -> int:
    return DEMO_TRIALS if is_demo else TRIALS


def default_epochs_cap(is_demo: bool) -> int | None:
    return DEMO_EPOCHS_CAP if is_demo else None


def _check_if_given(option: str, value: object, *rules: Rule) -> None:
    if value is not None:
        _check(option, value, *rules)


def _check(option: str, value: object, *rules: Rule) -> None:
    for rule in rules:
        if problem := rule.problem(value):
            raise AsdRayError(f"{option} {problem}")
