"""What a search is asked for: what to try, and where it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asd_ray.errors import AsdRayError
from asd_ray.families import Family, Space
from asd_ray.tuning.spec import LAST, ORACLE

LOCAL = "local"
CLIENT = "ray://"  # how the address of a cluster begins that runs the whole search
DEMO = {"trials": 8, "epochs_cap": 20}  # of the demo set: a first look of a few minutes on two cores
TRIALS = 20
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class SearchConfig:
    """What a search tries. The option of the command line that sets a field has the same name."""

    machines: Sequence[str] = ()  # empty: all of the dataset
    families: Sequence[str | type] = ()  # names, "package.module:Class" or classes; empty: all that suit the computer
    spaces: Mapping[str, Space] = field(default_factory=dict)  # of every family; empty: their own
    jointly: bool = False  # each trial learns from all the machines together
    trials: int = TRIALS  # of each machine and family, those that are stored already included
    epochs_cap: int | None = None
    seed: int = 0  # of trials and of Optuna
    held_out: float = 0.1  # the share of normal training clips that no detector learns from
    checkpoint: str = LAST
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    memory_per_trial: float | None = None  # GiB
    retry_failed: bool = False  # stored failures are set aside and run anew

    def check(self) -> None:
        """Raise if a value is out of its range."""
        if not 0 <= self.held_out <= 0.5:
            raise AsdRayError(f"--held-out must be a share between 0 and 0.5 but got {self.held_out:g}")
        if self.trials < 1:
            raise AsdRayError(f"--trials must be a number from 1 but got {self.trials}")
        if self.epochs_cap is not None and self.epochs_cap < 1:
            raise AsdRayError(f"--epochs-cap must be a number from 1 but got {self.epochs_cap}")
        if not 0 <= self.seed < 2**32:  # scikit-learn takes no larger one
            raise AsdRayError(f"--seed must be a number from 0 to {2**32 - 1} but got {self.seed}")
        if self.checkpoint not in (LAST, ORACLE):
            raise AsdRayError(f"--checkpoint must be {LAST} or {ORACLE} but got {self.checkpoint!r}")


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
        """Raise where trials could not run as they are asked for. Takes no time, and starts nothing."""
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
