"""All paths of a run, on a local disk or on S3. No other module builds them."""

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
TRIAL = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,63}")  # a letter first, so that no reader takes it for a number


def check_trial(trial: str) -> str:
    if not TRIAL.fullmatch(trial) or trial.startswith("compact-"):
        raise AsdRayError(
            f"the trial name {trial!r} must be a letter followed by up to 63 of A-Z a-z 0-9 _ + - and must not start "
            "with 'compact-'; make one with asd_ray.ledger.trial_hash"
        )
    return trial


@dataclass(frozen=True)
class RunLayout:
    """The paths of one run: ``RunLayout("runs/fan")`` or ``RunLayout("s3://bucket/runs/fan")``.

    An S3 address may end in ``?endpoint_override=http://host:port&region=…``; without it AWS_ENDPOINT_URL_S3,
    AWS_ENDPOINT_URL, AWS_REGION and AWS's own credential chain are used. A path is a string that `open_files`
    understands: a local path, or ``bucket/key``. The object is small and can be pickled.
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

    @property
    def name(self) -> str:
        """The last part of the path, which people call the run."""
        return self.base.rpartition("/")[2] or self.base

    # -- folders and files ---------------------------------------------------------------------------------------

    @property
    def ledger(self) -> str:
        return f"{self.base}/ledger"

    @property
    def set_aside(self) -> str:
        """The folder of broken and forgotten files. It is beside the ledger, so Parquet readers do not see them."""
        return f"{self.base}/ledger_set_aside"

    @property
    def ensembles(self) -> str:
        return f"{self.base}/ensembles"

    def ensemble_file(self, machine: str, name: str) -> str:
        """The ensemble of a recipe, or of "final"."""
        return f"{self.ensembles}/{check_name('machine', machine)}/{check_name('recipe', name)}.json"

    @property
    def report(self) -> str:
        return f"{self.base}/report"

    def report_file(self, folder: str, name: str) -> str:
        """A file in `report` or in another folder."""
        return f"{folder}/{name}"

    @property
    def states(self) -> str:
        """What the best detectors have learned: one folder per family, one file per trial."""
        return f"{self.base}/states"

    def states_folder(self, family: str) -> str:
        return f"{self.states}/{check_name('family', family)}"

    def state_file(self, family: str, trial: str) -> str:
        return f"{self.states_folder(family)}/{check_trial(trial)}.safetensors"

    @property
    def marks(self) -> str:
        """A folder with one file whose name identifies this run, in case another computer has a folder of this name."""
        return f"{self.base}/.asd_ray_run"

    def mark_file(self, mark: str) -> str:
        return f"{self.marks}/{mark}"

    @property
    def locks(self) -> str:
        """Which search has which study: lock files on a local disk, claim files elsewhere."""
        return f"{self.base}/locks"

    def lock_file(self, study: str) -> str:
        return f"{self.locks}/{check_name('study', shortened(study))}.lock"

    def claims_file(self, driver: str) -> str:
        return f"{self.locks}/{check_name('driver', driver)}.json"

    @property
    def status(self) -> str:
        """One status file per running search, for `asd-ray status`."""
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
        """TensorBoard needs one folder per trial. The hash tells trials of one name apart (seed, settings)."""
        folder = f"{check_name('trial', shortened(name))}-{check_trial(trial)[1:7]}"
        return f"{self.tensorboard}/{folder}/events.out.tfevents.0.asd_ray"

    @property
    def own_folders(self) -> list[str]:
        """The folders that only asd_ray writes to."""
        return [
            *(self.ledger, self.set_aside, self.ensembles, self.states),
            *(self.locks, self.status, self.tensorboard, self.marks),
        ]

    def machine_folder(self, machine: str) -> str:
        return f"{self.ledger}/machine={check_name('machine', machine)}"

    def family_folder(self, machine: str, family: str) -> str:
        return f"{self.machine_folder(machine)}/family={check_name('family', family)}"

    def trial_file(self, machine: str, family: str, trial: str, status: str = "complete") -> str:
        """A failed or pruned trial has its own file, so it can never overwrite the complete one."""
        outcome = "" if status == "complete" else f".{status}"  # names of trials have no dot
        return f"{self.family_folder(machine, family)}/{check_trial(trial)}{outcome}.parquet"

    def compact_file(self, machine: str, family: str, key: str) -> str:
        return f"{self.family_folder(machine, family)}/compact-{key}.parquet"

    def compacted_mark(self, machine: str, family: str) -> str:
        """Written again after each new compact file, because one stat is cheaper than listing the folder."""
        return f"{self.family_folder(machine, family)}/.compacted"

    def set_aside_file(self, path: str) -> str:
        """Where the ledger's file `path` is moved if it is broken or forgotten."""
        return f"{self.set_aside}/{path.removeprefix(self.ledger).lstrip('/')}"

    def url(self, path: str) -> str:
        """`path` as a user types it."""
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
