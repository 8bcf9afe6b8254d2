"""The trained detectors of a bundle, made again from its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from asd_ray.deploy.bundle_file import ENSEMBLE, STATES, Contents
from asd_ray.detectors import Context, Detector
from asd_ray.detectors.state_file import from_bytes
from asd_ray.errors import AsdRayError
from asd_ray.families import FAMILIES, Family
from asd_ray.families.family import TARGET, family
from asd_ray.features import FeatureSource


def load_detectors(
    contents: Contents, device: str | torch.device, features: FeatureSource, families: Sequence[type] = ()
) -> dict[str, Detector]:
    """Trial -> detector. `families` are classes that cannot be imported by their name."""
    device = checked_device(device)
    own = {known.target: known for known in map(family, families)}
    detectors = {}
    for facts in contents.facts["detectors"]:
        where = f"{contents.folder}/{STATES}/{facts['trial']}.safetensors"
        state, _ = from_bytes(contents.states[facts["trial"]], where)
        context = Context(device, facts["seed"], features, contents.facts["rate"])
        detectors[facts["trial"]] = make_detector(facts, state, context, own, where)
    variants = {(member.trial, member.variant) for member in contents.ensemble.members}
    unknown = sorted(trial for trial, _ in variants if trial not in detectors)
    if unknown:
        raise AsdRayError(f"{contents.folder / ENSEMBLE}: member {unknown[0]} has no state; write the bundle again")
    return detectors


def checked_device(name: str | torch.device) -> torch.device:
    """The device of a name; AsdRayError if there is none of it here."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise AsdRayError(f"device must be cpu, cuda or cuda:N but got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise AsdRayError(f"device must be cpu, cuda or cuda:N but got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AsdRayError(f"device {device}: torch sees no GPU here; leave it out, or install the CUDA build of torch")
    return device


def _family(facts: Mapping[str, Any], own: Mapping[str, Family], where: str) -> Family:
    target, version = facts["target"], facts["version"]
    if facts["family"] not in FAMILIES and not TARGET.fullmatch(target) and target not in own:
        raise AsdRayError(f"{where}: its class is named {target!r:.100}, which is not of the form package.module:Class")
    known = own.get(target) or Family(facts["family"], FAMILIES.get(facts["family"], target))
    if version and known.version != version:
        raise AsdRayError(
            f"{where}: it was trained by version {version} of {target}, and this is version {known.version}, which "
            "gives other scores; use the version that it was trained by, or train and bundle it again"
        )
    return known


def make_detector(
    facts: Mapping[str, Any], state: dict[str, Any], context: Context, own: Mapping[str, Family], where: str
) -> Detector:
    """The detector of a state. `facts` are what its file says of it, and `own` the families of a user by their target.

    AsdRayError, with `where`, if this version of its family cannot load it.
    """
    known = _family(facts, own, where)
    try:
        detector: Detector = known.detector(context, **facts["params"])
    except TypeError as error:
        raise AsdRayError(f"{where}: {known.name} does not take its parameters ({error}); bundle it again") from error
    if detector.front_end.hash != facts["front_end"]:
        raise AsdRayError(f"{where}: its front end has changed since it was trained; train and bundle it again")
    try:
        detector.load(state)
    except AsdRayError as error:  # such as a file of weights that is not here
        raise AsdRayError(f"{where}: {error}") from error
    except Exception as error:  # of a user's class, or tensors of other shapes
        raise AsdRayError(f"{where}: {known.name} cannot load this state ({error}); write the bundle again") from error
    return detector
