"""The one object that builds the paths of a run, on a local disk or on S3."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from asd_ray._names import check_name, shortened
from asd_ray.errors import AsdRayError
from asd_ray.storage.places import check_text, is_address, obstacle
from asd_ray.storage.s3 import as_url, is_s3, parse_s3

CURE = "name another run (--run RUN, or RUN of asd-ray ledger)"
TRIAL = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,63}")  # starts with a letter: no reader can take it for a number


def check_trial(trial: str) -> str:
    if not TRIAL.fullmatch(trial) or trial.startswith("compact-"):
        raise AsdRayError(
            f"the trial name {trial!r} must be a letter followed by up to 63 of A-Z a-z 0-9 _ + - and must not start "
            "with 'compact-'; make one with asd_ray.ledger.trial_hash"
        )
    return trial


@dataclass(frozen=True)
class RunLayout:
    """Where everything of one run lies: ``RunLayout("runs/fan")`` or ``RunLayout("s3://bucket/runs/fan")``.

    An S3 address may end in ``?endpoint_override=http://host:port&region=…``; without it AWS_ENDPOINT_URL_S3,
    AWS_ENDPOINT_URL, AWS_REGION and AWS's own credential chain are used. All paths are strings in the terms of
    `files()`: a local path, or ``bucket/key``. The object is small and pickles.
    """

    root: str
    is_s3: bool = field(init=False)
    base: str = field(init=False, repr=False)
    options: dict[str, str] = field(init=False, repr=False, compare=False, hash=False)  # of S3

    def __init__(self, root: str | Path) -> None:
        text, remote = as_url(root), is_s3(root)
        base, options = parse_s3(text) if remote else (_parse_local(text), {})
        for name, value in (("root", text), ("is_s3", remote), ("base", base), ("options", options)):
            object.__setattr__(self, name, value)

    # -- folders and files ---------------------------------------------------------------------------------------

    @property
    def ledger(self) -> str:
        return f"{self.base}/ledger"

    @property
    def set_aside(self) -> str:
        """Where broken and forgotten files go; beside the ledger, so that a Parquet reader never meets them."""
        return f"{self.base}/ledger_set_aside"

    @property
    def ensembles(self) -> str:
        return f"{self.base}/ensembles"

    def ensemble_file(self, machine: str, name: str) -> str:
        """Of a recipe, or "final"."""
        return f"{self.ensembles}/{check_name('machine', machine)}/{check_name('recipe', name)}.json"

    @property
    def report(self) -> str:
        return f"{self.base}/report"

    def report_file(self, folder: str, name: str) -> str:
        """In `report`, or in another folder that was asked for."""
        return f"{folder}/{name}"

    @property
    def checkpoints(self) -> str:
        return f"{self.base}/checkpoints"

    @property
    def models(self) -> str:
        return f"{self.base}/models"

    @property
    def marks(self) -> str:
        """Holds a file that tells this run's folder from another that has its name on another computer."""
        return f"{self.base}/.asd_ray_run"

    def mark_file(self, mark: str) -> str:
        return f"{self.marks}/{mark}"

    @property
    def locks(self) -> str:
        """Which search has which study: lock files on a local disk, files of claims elsewhere."""
        return f"{self.base}/locks"

    def lock_file(self, study: str) -> str:
        return f"{self.locks}/{check_name('study', shortened(study))}.lock"

    def claims_file(self, driver: str) -> str:
        return f"{self.locks}/{check_name('driver', driver)}.json"

    @property
    def status(self) -> str:
        """A file of every search at work, for those who look on from another terminal."""
        return f"{self.base}/status"

    def status_file(self, driver: str) -> str:
        return f"{self.status}/{check_name('driver', driver)}.json"

    @property
    def log_file(self) -> str:
        return f"{self.base}/search.log"

    @property
    def tensorboard(self) -> str:
        return f"{self.base}/tensorboard"

    def curves_file(self, name: str, trial: str) -> str:
        """In a folder a trial, as TensorBoard wants it; two trials of one name differ in seed or settings."""
        folder = f"{check_name('trial', shortened(name))}-{check_trial(trial)[1:7]}"
        return f"{self.tensorboard}/{folder}/events.out.tfevents.0.asd_ray"

    def machine_folder(self, machine: str) -> str:
        return f"{self.ledger}/machine={check_name('machine', machine)}"

    def family_folder(self, machine: str, family: str) -> str:
        return f"{self.machine_folder(machine)}/family={check_name('family', family)}"

    def trial_file(self, machine: str, family: str, trial: str, status: str = "complete") -> str:
        """A trial that failed or was pruned has a file of its own, so it can never overwrite the complete one."""
        outcome = "" if status == "complete" else f".{status}"  # no trial's name holds a dot
        return f"{self.family_folder(machine, family)}/{check_trial(trial)}{outcome}.parquet"

    def compact_file(self, machine: str, family: str, key: str) -> str:
        return f"{self.family_folder(machine, family)}/compact-{key}.parquet"

    def compacted_mark(self, machine: str, family: str) -> str:
        """Written anew whenever a compact file was added: asking for it is cheaper than listing the folder."""
        return f"{self.family_folder(machine, family)}/.compacted"

    def set_aside_file(self, path: str) -> str:
        """Where the ledger's file `path` goes when it cannot be read or is forgotten."""
        return f"{self.set_aside}/{path.removeprefix(self.ledger).lstrip('/')}"

    def url(self, path: str) -> str:
        """`path` as a user would type it."""
        return f"s3://{path}" if self.is_s3 else path


def _parse_local(text: str) -> str:
    if is_address(text):
        scheme = text.partition(":")[0]
        raise AsdRayError(f"{text}: a run is a local folder or s3://bucket/folder; {scheme}:// is not read")
    if not text:
        raise AsdRayError("the path of the run is empty; name a folder such as runs/fan or s3://bucket/runs/fan")
    path = os.path.abspath(os.path.expanduser(text))
    check_text(path)
    if rule := obstacle(Path(path), folder=True):
        raise AsdRayError(f"{text}: a run cannot be there: {rule}; {CURE}")
    return path
