"""The ensemble file: JSON with all that scoring new clips and rebuilding its numbers takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray._json import MOST_BYTES, loads
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.recipe import Recipe, recipe_from
from asd_ray.ensembling.schema import problem
from asd_ray.ensembling.standardise import Statistics
from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout
from asd_ray.storage.open_files import open_files

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.ledger import Ledger

Floats = npt.NDArray[np.float64]
Ensemble = dict[str, Any]  # as the file holds it
FORMAT = "asd_ray-ensemble/1"
FINAL = "final"  # the name of the file of the chosen one
CHECKSUM = "checksum"
CURE = "choose the ensemble again: asd-ray ensemble MACHINE --run RUN"


@dataclass(frozen=True)
class Stored:
    """What a run's folder of ensembles holds."""

    ensembles: dict[str, dict[str, Ensemble]]  # machine -> recipe's name (or "final") -> ensemble
    unreadable: dict[str, dict[str, str]]  # machine -> file's name -> why


def write(ledger: Ledger, ensemble: Mapping[str, Any], *, final: bool = False) -> str:
    """Into the run's folder of ensembles, whole or not at all; gives the path."""
    layout = ledger.layout
    path = layout.ensemble_file(ensemble["machine"], FINAL if final else ensemble["recipe"]["name"])
    text = json.dumps(stamped(ensemble), indent=1, allow_nan=False, ensure_ascii=False)
    open_files(layout).put(path, (text + "\n").encode())
    return layout.url(path)


def stamped(ensemble: Mapping[str, Any]) -> Ensemble:
    """As its file has it."""
    return {**ensemble, CHECKSUM: checksum(ensemble)}


def checksum(ensemble: Mapping[str, Any]) -> str:
    """Of all but when a file was made: tells a change of what shows nowhere else, such as a seed that nothing used."""
    rest = {name: part for name, part in ensemble.items() if name not in (CHECKSUM, "created")}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def intact(ensemble: Mapping[str, Any]) -> bool | None:
    """Whether a file's checksum is of what it holds; None for one of an earlier version, which has none."""
    return ensemble[CHECKSUM] == checksum(ensemble) if CHECKSUM in ensemble else None


def read(path: str | Path) -> Ensemble:
    """The one way to read an ensemble file: whatever is wrong with it is one message that names the place in it."""
    text = str(path)
    try:
        if text.startswith("s3://"):
            layout = RunLayout(run_of(text))
            machine, name = text.split("/")[-2:]
            with open_files(layout).open(layout.ensemble_file(machine, name.removesuffix(".json"))) as file:
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
    text = path if path.startswith("s3://") else str(Path(path).resolve())
    run, folder, *rest = text.rsplit("/", 3)
    if folder != "ensembles" or len(rest) != 2:
        raise AsdRayError(f"{path} does not lie in RUN/ensembles/MACHINE/; say which ledger it is of: --run RUN")
    return run


def _parsed(content: bytes, path: str) -> Ensemble:
    made = loads(content, path, cure=CURE)
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        told = made.get("format") if isinstance(made, dict) else type(made).__name__
        raise AsdRayError(f"{path}: the format is {told!r:.60} but must be {FORMAT!r}; {CURE}")
    if wrong := problem(made):
        raise AsdRayError(f"{path}: {wrong}; {CURE}")
    return made


def finals(ledger: Ledger) -> dict[str, Ensemble]:
    """The final ensemble of every machine of a run that has one; an error where one cannot be read."""
    found = stored(ledger)
    for files in found.unreadable.values():
        if FINAL in files:
            raise AsdRayError(files[FINAL])
    return {machine: each[FINAL] for machine, each in found.ensembles.items() if FINAL in each}


def stored(ledger: Ledger, machine: str | None = None) -> Stored:
    """Of all machines or of one. A file that cannot be read is named, with why, and stops nothing."""
    layout, found = ledger.layout, Stored({}, {})
    files = open_files(layout)
    for file in sorted(files.list(layout.ensembles), key=lambda each: each.path):
        folder, name = file.path.rpartition("/")[0].rpartition("/")[2], file.name.removesuffix(".json")
        is_in_place = file.path == f"{layout.ensembles}/{folder}/{file.name}"  # and no copy elsewhere below
        if not is_in_place or name == file.name or name.startswith(".") or machine not in (None, folder):
            continue
        try:
            found.ensembles.setdefault(folder, {})[name] = _of_folder(layout, file.path, folder)
        except (AsdRayError, OSError) as error:
            found.unreadable.setdefault(folder, {})[name] = str(error)
    return Stored({name: each for name, each in found.ensembles.items() if each}, found.unreadable)


def _of_folder(layout: RunLayout, path: str, machine: str) -> Ensemble:
    if not layout.is_s3 and not Path(path).is_file():  # to open a pipe would wait for ever
        raise AsdRayError(f"{path}: this is no file; remove it")
    with open_files(layout).open(path) as file:
        made = _parsed(file.read(MOST_BYTES + 1), layout.url(path))
    if made["machine"] != machine:
        raise AsdRayError(f"{layout.url(path)}: machine is {made['machine']!r}, but the folder is of {machine}; {CURE}")
    return made


def scores_of(ledger: Ledger, ensemble: Mapping[str, Any]) -> pd.DataFrame:
    """The ensemble's scores, recomputed from the ledger: clip, id, domain, label, split, score.

    Of the test clips, and of the normal clips that it was standardised by.
    """
    import pandas as pd

    candidates, recipe = members_of(ledger, ensemble), recipe_from(ensemble["recipe"])
    statistics = stored_statistics(ensemble, candidates)
    weights = [member["weight"] for member in ensemble["members"]]
    parts = [(candidates.clips, candidates.scores, "test")]
    if candidates.by != "test":
        parts.append((candidates.normal, candidates.normal_scores, candidates.by))
    made = [
        clips.assign(split=split, score=combined(recipe, statistics(scores, clips), weights, candidates, clips))
        for clips, scores, split in parts
    ]
    return pd.concat(made, ignore_index=True)


def combined(recipe: Recipe, scores: Floats, weights: list[float], members: Candidates, clips: pd.DataFrame) -> Floats:
    names = [members.told(row) for row in range(len(members))]
    return combine(scores, recipe.combine[0], weights, names=names, clips=clips["clip"].tolist())


def members_of(ledger: Ledger, ensemble: Mapping[str, Any]) -> Candidates:
    """The ensemble's members as the ledger has them, in the ensemble's order."""
    only: dict[str, list[str]] = {}
    for member in ensemble["members"]:
        only.setdefault(member["trial"], []).append(member["variant"])
    found = load(ledger, ensemble["machine"], ensemble["recipe"]["by"], only=only)
    if found.fingerprint != ensemble["dataset"]["fingerprint"]:
        raise AsdRayError(
            f"{ensemble['machine']}: the ledger's trials are of other clips ({found.fingerprint[:8]}) than the "
            f"ensemble's ({ensemble['dataset']['fingerprint'][:8]}); choose the ensemble again"
        )
    place = {pair: row for row, pair in enumerate(zip(found.table["trial"], found.table["variant"], strict=True))}
    return found.take([place[member["trial"], member["variant"]] for member in ensemble["members"]])


def statistics_to_json(statistics: Statistics) -> dict[str, Any]:
    made: dict[str, Any] = {
        "groups": list(statistics.groups),
        "centre": statistics.centre.tolist(),
        "scale": statistics.scale.tolist(),
    }
    if statistics.reference:
        made["reference"] = {name: rows.tolist() for name, rows in statistics.reference.items()}
    return made


def stored_statistics(ensemble: Mapping[str, Any], candidates: Candidates) -> Statistics:
    stored = ensemble["statistics"]
    reference = {name: np.array(rows) for name, rows in stored.get("reference", {}).items()}
    centre, scale = np.array(stored["centre"]), np.array(stored["scale"])
    standardiser = recipe_from(ensemble["recipe"]).standardise
    return Statistics(standardiser, tuple(stored["groups"]), centre, scale, reference)
