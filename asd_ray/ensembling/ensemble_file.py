"""The ensemble file: JSON with all that scoring new clips and rebuilding its numbers takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.recipe import Recipe, recipe_from
from asd_ray.ensembling.standardise import Statistics
from asd_ray.errors import AsdRayError
from asd_ray.ledger import RunLayout

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.ledger import Ledger

Floats = npt.NDArray[np.float64]
Ensemble = dict[str, Any]  # as the file holds it
FORMAT = "asd_ray-ensemble/1"
NEEDED = ("machine", "recipe", "wishes", "dataset", "members", "statistics", "threshold", "metrics", "candidates")


def write(ledger: Ledger, ensemble: Mapping[str, Any], *, final: bool = False) -> str:
    """Into the run's folder of ensembles, whole or not at all; gives the path."""
    layout = ledger.layout
    path = layout.ensemble_file(ensemble["machine"], "final" if final else ensemble["recipe"]["name"])
    text = json.dumps(ensemble, indent=1, allow_nan=False, ensure_ascii=False)
    layout.files().put(path, (text + "\n").encode())
    return layout.url(path)


def read(path: str | Path) -> Ensemble:
    text = str(path)
    try:
        if text.startswith("s3://"):
            layout = RunLayout(run_of(text))
            machine, name = text.split("/")[-2:]
            with layout.files().open(layout.ensemble_file(machine, name.removesuffix(".json"))) as file:
                return _parsed(file.read(), text)
        content = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AsdRayError(f"{path}: no such file; ensembles lie in RUN/ensembles/MACHINE/") from error
    return _parsed(content, str(path))


def run_of(path: str) -> str:
    """RUN/ensembles/MACHINE/NAME.json -> RUN"""
    text = path if path.startswith("s3://") else str(Path(path).resolve())
    run, folder, *rest = text.rsplit("/", 3)
    if folder != "ensembles" or len(rest) != 2:
        raise AsdRayError(f"{path} does not lie in RUN/ensembles/MACHINE/; say which ledger it is of: --run RUN")
    return run


def _parsed(content: bytes, path: str) -> Ensemble:
    try:
        made = json.loads(content)
    except ValueError as error:
        raise AsdRayError(f"{path}: this is no JSON ({error}); choose the ensemble again") from error
    if not isinstance(made, dict) or made.get("format") != FORMAT:
        told = made.get("format") if isinstance(made, dict) else type(made).__name__
        raise AsdRayError(f"{path}: the format is {told!r} but must be {FORMAT!r}; choose the ensemble again")
    if lacking := [name for name in NEEDED if name not in made]:
        raise AsdRayError(f"{path}: it lacks {', '.join(lacking)}; choose the ensemble again")
    return made


def finals(ledger: Ledger) -> dict[str, Ensemble]:
    """The final ensemble of every machine of a run that has one."""
    return {machine: each["final"] for machine, each in ensembles(ledger).items() if "final" in each}


def ensembles(ledger: Ledger) -> dict[str, dict[str, Ensemble]]:
    """machine -> recipe's name (or "final") -> ensemble."""
    layout, found = ledger.layout, dict[str, dict[str, Ensemble]]()
    files = layout.files()
    for stored in sorted(files.list(layout.ensembles), key=lambda each: each.path):
        folder, _, name = stored.path.rpartition("/")
        if name.endswith(".json") and not name.startswith("."):
            with files.open(stored.path) as file:
                made = _parsed(file.read(), layout.url(stored.path))
            found.setdefault(folder.rpartition("/")[2], {})[name.removesuffix(".json")] = made
    return found


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
