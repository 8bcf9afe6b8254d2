"""A bundle -> a folder with one ONNX file per detector, and what turns their scores into that of the ensemble.

fan_onnx/
  onnx.json                  the members with their files, units, weights, and the threshold
  <family>_<trial>.onnx      a detector with those of its scores that are members
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asd_ray._json import loads
from asd_ray.clips.audio import ALL
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.export import Exported, check_packages, export
from asd_ray.ensembling.result import StoredStatistics
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import local, obstacle, storage_error

FORMAT = "asd_ray-onnx/1"
INDEX = "onnx.json"


@dataclass(frozen=True)
class MemberFile:
    """A member of the ensemble, and its file or the reason why it has none."""

    name: str
    family: str
    variant: str
    weight: float
    file: str | None
    why_not: str
    exported: Exported | None

    def to_json(self) -> dict[str, Any]:
        facts = asdict(self)
        inputs = facts.pop("exported") or {}
        return {**facts, **{name: inputs.get(name) for name in ("samples", "least_samples", "ids")}}


def export_bundle(
    bundle: Bundle, out: str | Path, progress: Callable[[str], None] = lambda name: None
) -> tuple[MemberFile, ...]:
    """Write the members of a bundle to the folder `out`. A member that cannot be exported has a reason instead.

    `progress` gets the name of each detector before its export, which takes some seconds.
    """
    check_packages()
    folder, files = _checked_target(out), {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = _files_of(folder)
        for trial in bundle.detectors:
            members = [member for member in bundle.members if member.trial == trial]
            progress(members[0].name)
            variants = tuple(dict.fromkeys(member.variant for member in members))
            files[trial] = _exported(bundle, trial, folder / _file(members[0].family, trial), variants)
        described = tuple(_described(bundle, files))
        with written_aside(folder / INDEX) as aside:
            aside.write_text(json.dumps(_index(bundle, described), indent=1, allow_nan=False) + "\n")
        for name in old - {member.file for member in described}:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, folder, "the ONNX files", "name another place with --out") from error
    return described


def _exported(bundle: Bundle, trial: str, path: Path, variants: tuple[str, ...]) -> Exported | str:
    """What the file takes and gives, or the reason why there is none."""
    try:
        return export(bundle.detectors[trial], path, variants)
    except CannotExport as error:
        return error.reason


def _described(bundle: Bundle, files: dict[str, Exported | str]) -> list[MemberFile]:
    return [
        MemberFile(
            member.name,
            member.family,
            member.variant,
            member.weight,
            file=None if isinstance(result, str) else _file(member.family, member.trial),
            why_not=result if isinstance(result, str) else "",
            exported=None if isinstance(result, str) else result,
        )
        for member in bundle.members
        for result in [files[member.trial]]
    ]


def _index(bundle: Bundle, members: tuple[MemberFile, ...]) -> dict[str, Any]:
    statistics = bundle.calibration.statistics
    return {
        "format": FORMAT,
        "machine": bundle.machine,
        "rate": bundle.rate,
        "channel": 0 if bundle.channel == ALL else bundle.channel,  # no file listens to another one
        "standardise": asdict(statistics.standardiser),
        "statistics": StoredStatistics.of(statistics).to_json(),  # one row per member, one column per group
        "combine": bundle.ensemble.combine,
        "threshold": bundle.threshold,
        "members": [member.to_json() for member in members],
    }


def _file(family: str, trial: str) -> str:
    return f"{family}_{trial}.onnx"


def _checked_target(out: str | Path) -> Path:
    """The folder to write to: a new one, an empty one, or one that an earlier export wrote."""
    folder = local(out, "a folder of ONNX files")
    if rule := obstacle(folder, folder=True):
        raise AsdRayError(f"{folder}: ONNX files cannot be there: {rule}; name another place with --out")
    if folder.is_dir() and not (folder / INDEX).is_file() and any(folder.iterdir()):
        raise AsdRayError(f"{folder}: this folder holds other files; name another place with --out")
    return folder


def _files_of(folder: Path) -> set[str]:
    """The files that an earlier export wrote here."""
    with contextlib.suppress(AsdRayError, FileNotFoundError, LookupError, TypeError):
        index = loads((folder / INDEX).read_bytes(), str(folder / INDEX))
        names = {member["file"] for member in index["members"] if member["file"]}
        return {name for name in names if Path(name).name == name and name.endswith(".onnx")}
    return set()
