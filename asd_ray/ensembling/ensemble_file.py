"""Ensemble files: JSON with everything that scoring new clips and rebuilding the numbers needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray._json import MOST_BYTES, loads
from asd_ray.ensembling.result import CURE, Ensemble
from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout
from asd_ray.storage.open_files import open_files

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

FINAL = "final"  # the file name of the chosen ensemble
CHECKSUM = "checksum"


@dataclass(frozen=True)
class Stored:
    """The contents of a run's folder of ensembles."""

    ensembles: dict[str, dict[str, Ensemble]]  # machine -> recipe's name (or "final") -> ensemble
    unreadable: dict[str, dict[str, str]]  # machine -> file's name -> reason

    @property
    def trials(self) -> set[str]:
        """The trials of all members."""
        ensembles = [ensemble for own in self.ensembles.values() for ensemble in own.values()]
        return {member.trial for ensemble in ensembles for member in ensemble.members}


def write(ledger: Ledger, ensemble: Ensemble, *, final: bool = False) -> str:
    """Write to the run's folder of ensembles, completely or not at all; returns the path."""
    layout = ledger.layout
    path = layout.ensemble_file(ensemble.machine, FINAL if final else ensemble.name)
    text = json.dumps(stamped(ensemble).to_json(), indent=1, allow_nan=False, ensure_ascii=False)
    open_files(layout).put(path, (text + "\n").encode())
    return layout.url(path)


def stamped(ensemble: Ensemble) -> Ensemble:
    """The ensemble with its checksum, equal to the one in its file."""
    return replace(ensemble, checksum=checksum(ensemble))


def checksum(ensemble: Ensemble) -> str:
    """A checksum of all fields but itself and the time. It also shows changes of fields that cannot be rebuilt."""
    rest = {name: part for name, part in ensemble.to_json().items() if name not in (CHECKSUM, "created")}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def intact(ensemble: Ensemble) -> bool | None:
    """Whether the checksum fits the content; None for the file of an earlier version, which has no checksum."""
    return None if ensemble.checksum is None else ensemble.checksum == checksum(ensemble)


def read(path: str | Path) -> Ensemble:
    """Read an ensemble file; an AsdRayError names the first thing that is wrong and its place in the file."""
    text = str(path)
    try:
        if text.startswith("s3://"):
            run, machine, name = _split(text)
            layout = RunLayout(run)
            with open_files(layout).open(layout.ensemble_file(machine, name)) as file:
                return _parsed(file.read(MOST_BYTES + 1), text)
        if Path(text).exists() and not Path(text).is_file():
            raise IsADirectoryError
        with open(text, "rb") as local:
            content = local.read(MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise AsdRayError(f"{path}: no such file; ensembles lie in RUN/ensembles/MACHINE/") from error
    except OSError as error:
        raise AsdRayError(f"{text[:200]}: cannot be read ({error.strerror or error}); name an ensemble file") from error
    return _parsed(content, text)


def run_of(path: str) -> str:
    """RUN/ensembles/MACHINE/NAME.json -> RUN"""
    return _split(path)[0]


def _split(path: str) -> tuple[str, str, str]:
    """RUN/ensembles/MACHINE/NAME.json -> RUN, MACHINE and NAME"""
    text = path if path.startswith("s3://") else str(Path(path).resolve())
    run, folder, *rest = text.rsplit("/", 3)
    if folder != "ensembles" or len(rest) != 2:
        raise AsdRayError(f"{path} does not lie in RUN/ensembles/MACHINE/; name the run of its ledger: --run RUN")
    return run, rest[0], rest[1].removesuffix(".json")


def _parsed(content: bytes, path: str) -> Ensemble:
    return Ensemble.from_json(loads(content, path, cure=CURE), path)


def finals(ledger: Ledger) -> dict[str, Ensemble]:
    """The final ensemble of every machine of a run that has one; an AsdRayError where one cannot be read."""
    files = stored(ledger)
    for unreadable in files.unreadable.values():
        if FINAL in unreadable:
            raise AsdRayError(unreadable[FINAL])
    return {machine: ensembles[FINAL] for machine, ensembles in files.ensembles.items() if FINAL in ensembles}


def stored(ledger: Ledger, machine: str | None = None) -> Stored:
    """All ensembles of a run or of one machine. A file that cannot be read is named with the reason."""
    layout, ensembles, unreadable = ledger.layout, dict[str, dict[str, Ensemble]](), dict[str, dict[str, str]]()
    files = open_files(layout)
    for file in sorted(files.list(layout.ensembles), key=lambda file: file.path):
        folder, _, below = file.path.removeprefix(f"{layout.ensembles}/").partition("/")
        name = file.name.removesuffix(".json")
        is_in_place = below == file.name  # and not in a copy of the folder below
        if not is_in_place or name == file.name or name.startswith(".") or machine not in (None, folder):
            continue
        try:
            ensembles.setdefault(folder, {})[name] = _of_folder(layout, file.path, folder)
        except (AsdRayError, OSError) as error:
            unreadable.setdefault(folder, {})[name] = str(error)
    return Stored({folder: own for folder, own in ensembles.items() if own}, unreadable)


def _of_folder(layout: RunLayout, path: str, machine: str) -> Ensemble:
    if not layout.is_s3 and not Path(path).is_file():  # opening a pipe would block
        raise AsdRayError(f"{path}: this is not a file; remove it")
    with open_files(layout).open(path) as file:
        ensemble = _parsed(file.read(MOST_BYTES + 1), layout.url(path))
    if ensemble.machine != machine:
        wrong = f"machine is {ensemble.machine!r}, but the file is in the folder of {machine}"
        raise AsdRayError(f"{layout.url(path)}: {wrong}; {CURE}")
    return ensemble
