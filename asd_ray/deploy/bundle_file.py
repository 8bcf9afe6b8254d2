"""The files of a bundle: one folder with everything that scoring takes. No code, no pickle, no absolute path.

fan.bundle/
  bundle.json           format, machine, rate, detectors, calibration, sound profiles
  ensemble.json         the ensemble: members, weights, recipe, numbers under each protocol
  states/<trial>.safetensors
  MODEL_CARD.md         for people: what it was trained on, its numbers, what was not measured
  requirements.txt      the packages that scoring takes, without Ray and Optuna
  SHA256SUMS            as `sha256sum -c` reads it; every other file is in it
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_ray._json import loads
from asd_ray._shapes import DictOf, Fields, Flag, ListOf, Scalar, Text, Whole, fault, object_of
from asd_ray.ensembling import ensemble_file
from asd_ray.ensembling.result import Ensemble
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import folder_written_aside
from asd_ray.storage.places import is_address, local, obstacle, storage_error
from asd_ray.storage.run_layout import check_trial

FORMAT = "asd_ray-bundle/1"
FACTS, ENSEMBLE, CARD, NEEDS, SUMS = "bundle.json", "ensemble.json", "MODEL_CARD.md", "requirements.txt", "SHA256SUMS"
STATES = "states"
CURE = "copy the whole folder again, or write it again with asd-ray bundle"
LARGEST, LARGEST_TEXT = 16 << 30, 64 << 20  # bytes of a state, and of any other file

DETECTOR = object_of(
    **dict.fromkeys(("trial", "name", "family", "target", "version", "front_end", "origin"), Text()),
    params=DictOf(Scalar()),
    seed=Whole(-(2**127), 2**127),
)
SHAPE = Fields(
    {
        "format": Text(),
        "machine": Text(),
        "rate": Whole(1),
        "channel": Scalar(),
        "created": Text(),
        "versions": DictOf(Text()),
        "detectors": ListOf(DETECTOR, 1),
        "calibration": Fields({}),
        "profiles": DictOf(Fields({})),
        "refit": Flag(),
        "calibrated": Text(),
    },
    required=("format", "machine", "rate", "channel", "detectors", "calibration", "profiles", "refit"),
)


@dataclass(frozen=True)
class Contents:
    """What a bundle's folder holds, checked."""

    folder: Path
    facts: dict[str, Any]
    ensemble: Ensemble
    states: Mapping[str, bytes]  # trial -> the file of its state


def read(path: str | Path) -> Contents:
    """Read a bundle. An AsdRayError names the file that is missing, was changed, or is of another version."""
    folder = local(path, "a bundle")
    if not (folder / FACTS).is_file():
        there = "is not there" if not folder.exists() else f"is no bundle: it has no {FACTS}"
        raise AsdRayError(f"{folder} {there}; write one with: asd-ray bundle MACHINE --run RUN")
    sums = _sums(folder)
    facts = loads(_checked(folder, FACTS, sums), str(folder / FACTS), cure=CURE)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        form = facts.get("format") if isinstance(facts, dict) else None
        raise AsdRayError(f"{folder / FACTS}: the format is {form!r:.60} but must be {FORMAT!r}; update asd_ray")
    if problem := fault(SHAPE, facts):
        raise AsdRayError(f"{folder / FACTS}: {problem}; {CURE}")
    where = str(folder / ENSEMBLE)
    ensemble = Ensemble.from_json(loads(_checked(folder, ENSEMBLE, sums), where, cure=CURE), where)
    trials = [check_trial(detector["trial"]) for detector in facts["detectors"]]
    if {member.trial for member in ensemble.members} != set(trials) or ensemble.machine != facts["machine"]:
        raise AsdRayError(f"{folder}: {FACTS} and {ENSEMBLE} are of different ensembles; {CURE}")
    for name in (CARD, NEEDS):  # for people, and for pip
        _checked(folder, name, sums)
    states = {trial: _checked(folder, f"{STATES}/{trial}.safetensors", sums, LARGEST) for trial in trials}
    return Contents(folder, facts, ensemble, states)


def write(out: str | Path, files: Mapping[str, bytes]) -> Path:
    """Write the files of a bundle, with their checksums, all or nothing. A bundle that is there is replaced.

    Anything else that is there is left alone: AsdRayError.
    """
    folder = checked_target(out)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    try:
        with folder_written_aside(folder) as aside:
            (aside / STATES).mkdir()
            for name, content in {**files, SUMS: sums.encode()}.items():
                _write(aside / name, content)
    except OSError as error:
        raise storage_error(error, folder, "the bundle", "name another place with --out") from error
    return folder


def checked_target(out: str | Path) -> Path:
    """The folder of a bundle that is to be written; AsdRayError if none can be there."""
    if is_address(out):
        raise AsdRayError(f"{out}: a bundle is written to a disk of this computer; copy the folder from there")
    folder = Path(os.path.realpath(local(out, "a bundle")))
    if rule := obstacle(folder, folder=True):
        raise AsdRayError(f"{folder}: a bundle cannot be there: {rule}; name another place with --out")
    if folder.exists() and any(folder.iterdir()) and (other := _other_file(folder)):
        raise AsdRayError(f"{folder}: this folder holds other files, such as {other}; name another place with --out")
    return folder


def _other_file(folder: Path) -> str:
    """A file in `folder` that no bundle of ours has; "" if the folder is a bundle and nothing else."""
    try:
        own = {SUMS, *_sums(folder)} if FACTS in _sums(folder) else set[str]()
    except AsdRayError:  # it has no list of checksums
        own = set()
    files = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir())
    return next((name for name in files if name not in own), "" if own else FACTS)


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def ensemble_json(ensemble: Ensemble) -> bytes:
    return as_json(ensemble_file.stamped(ensemble).to_json())


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sums(folder: Path) -> dict[str, str]:
    """File -> SHA-256 as the bundle's own list has it."""
    text = _content(folder, SUMS).decode(errors="replace")
    lines = [line.split("  ", 1) for line in text.splitlines()]
    if not all(len(line) == 2 for line in lines):
        raise AsdRayError(f"{folder / SUMS}: this is no list of checksums; {CURE}")
    return {name: digest for digest, name in lines}


def _checked(folder: Path, name: str, sums: Mapping[str, str], most: int = LARGEST_TEXT) -> bytes:
    content = _content(folder, name, most)
    if sums.get(name) != hashlib.sha256(content).hexdigest():
        raise AsdRayError(f"{folder / name}: it was changed after the bundle was written; {CURE}")
    return content


def _content(folder: Path, name: str, most: int = LARGEST_TEXT) -> bytes:
    path = folder / name
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise AsdRayError(f"{path}: it is not a file of a bundle; {CURE}")
        return path.read_bytes()
    except OSError as error:
        raise AsdRayError(f"{path}: it cannot be read ({error.strerror}); {CURE}") from error
