"""Which parameters of a search space have no effect on the clips of a study, so that they are not drawn there.

Trials with other values of them would be the same trial under another hash. Where only some values of `labels`,
`clusters` and `cluster_by` are alike, a draw is compared by their effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from asd_ray.detectors.parts.classes import class_names, finest_names
from asd_ray.detectors.parts.pseudo_labels import FALLBACK
from asd_ray.families import Space
from asd_ray.families.space import MICROPHONE
from asd_ray.families.supplemental import without_effect
from asd_ray.ledger import Settings
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.suiting import StudyClips

Group = tuple[str, ...]  # the machines of one study
Params = dict[str, Any]


def idle_names(clips: StudyClips, channels: int, objective: str) -> list[str]:
    """The parameters not to draw for these training clips, of which so many channels are kept.

    Injected faults are on channel 0 only, so by objective "normal-only" microphones cannot be compared. A method of
    `labels` gives the finest real classes where it has no id to cluster.
    """
    names = without_effect(clips.supplemental)
    if channels == 1 or objective == NORMAL_ONLY:
        names.append(MICROPHONE)
    if (clips.train["domain"] == "target").nunique() < 2:
        names.append("balance")
    if _nothing_is_clustered(clips.train):
        names += ["clusters", "cluster_by"]
        if class_names(clips.train) == finest_names(clips.train):
            names.append("labels")
    return names


def _nothing_is_clustered(train: pd.DataFrame) -> bool:
    """Whether every clip has a class by its attributes, in which the clips of its id differ."""
    ids = train["machine"] + "/" + train["id"]
    return not (ids == finest_names(train)).any()


def effect_of_labels(clips: StudyClips) -> Callable[[Params], Params]:
    """Returns a function that is equal for two trials' parameters where their `labels` give these clips equal classes.

    Labels "real" of clips with too few real classes are clusters of k-means. An id has at most as many clusters as
    clips that differ. Where nothing is clustered, every method gives the finest real classes.
    """
    train = clips.train
    names, finest = class_names(train), finest_names(train)
    machine_ids = train["machine"] + "/" + train["id"]
    sounds = train["digest"] if "digest" in train else pd.Series(range(len(train)))
    by_id = sounds[(machine_ids == finest).to_numpy()].groupby(machine_ids)
    most = max(by_id.nunique(), default=0)  # sounds of an id that is clustered

    def effect(params: Params) -> Params:
        labels, clusters = params.get("labels"), params.get("clusters")
        if labels is None or clusters is None:
            return params
        unclustered = {**params, "clusters": 0, "cluster_by": ""}
        if labels == "real" and len(set(names)) >= (1 if params.get("warps") else 2):  # warps are classes, too
            return unclustered
        if not most:
            return {**unclustered, "labels": "real" if names == finest else "finest"}
        return {**params, "labels": FALLBACK if labels == "real" else labels, "clusters": min(clusters, most)}

    return effect


def notes_of_microphones(
    space_of: Mapping[tuple[Group, str], Space], of_group: Mapping[Group, Settings]
) -> Iterator[str]:
    """That microphones are not searched, where the clips have several and trials are compared by injected faults."""
    groups = {group for (group, _), space in space_of.items() if MICROPHONE in space.idle.keys() - space.fixed.keys()}
    if names := sorted(group_name(group) for group in groups if of_group[group].objective == NORMAL_ONLY):
        yield (
            f"the microphone is not searched for {', '.join(names)}: trials are compared by injected faults, which are "
            "on channel 0 only; give one by --set microphone=far"
        )
