"""What a figure is drawn from: which figure, which clips, and the run with its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asd_ray._precision import full_float32
from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, TRAIN
from asd_ray.errors import AsdRayError, unknown
from asd_ray.figures.index import PaperFigure
from asd_ray.figures.trials import Chosen, StatesOfRun
from asd_ray.papers import PaperRow


@dataclass(frozen=True)
class Request:
    """One figure to draw. `machines` all have clips in the bank, and trials with states if the figure needs them."""

    key: str  # of the paper
    figure: PaperFigure
    machines: tuple[str, ...]
    bank: Bank
    states: StatesOfRun | None  # None: the figure needs no trained detector
    ids: tuple[str, ...] = ()  # (): those of the figure, or all
    trial: str | None = None
    clip: str | None = None
    most: int = 1000  # clips per machine of one kind
    seed: int = 0
    missing: tuple[str, ...] = ()  # machines of the paper that cannot be drawn

    @property
    def notes(self) -> list[str]:
        """What the caption says of the figure as a whole."""
        if not self.missing:
            return []
        what = "clip of it" if self.states is None else "clip, or no trial with a state,"
        return [f"Not drawn: {', '.join(self.missing)}. There is no {what} here."]

    @property
    def rows(self) -> tuple[PaperRow, ...]:
        return self.figure.paper_rows(self.key)

    @property
    def run(self) -> StatesOfRun:
        assert self.states is not None
        return self.states

    def chosen(self, machine: str) -> Chosen:
        """The trial of a figure with one row."""
        if self.trial is not None:
            return self.run.named(self.trial, machine)
        found = self.run.choose(self.rows[0], machine)
        if found is None:
            raise self.no_state(machine)
        return found

    def no_state(self, machine: str) -> AsdRayError:
        return self.run.no_state(self.rows, machine, self.bank.table.known_as)

    def ids_of(self, machine: str) -> tuple[str, ...]:
        """The ids that are shown: those asked for, else the paper's one if the dataset has it, else all."""
        known = sorted(set(self.bank.select(machine).frame["id"]))
        for id in self.ids:
            if id not in known:
                raise unknown(f"id of {machine}", id, known)
        own = self.figure.ids.get(machine)
        if not self.ids and own is not None and own in known:
            return (own,)
        return self.ids or tuple(known)

    def training(self, machine: str) -> ClipSet:
        """Normal training clips of the ids that are shown, at most `most` of them, drawn at random."""
        clips = self.bank.select(machine, split=TRAIN)
        return self._drawn(clips, self._of_ids(machine, clips) & (clips.frame["label"] == NORMAL))

    def test(self, machine: str, label: str) -> ClipSet:
        """Test clips of the ids that are shown with this label, at most `most` of them, drawn at random."""
        clips = self.bank.select(machine, split=TEST)
        if missing := {NORMAL, ANOMALY} - set(clips.frame["label"]):
            raise AsdRayError(
                f"{self.bank.table.place}: figure {self.figure.number} of {self.key} shows normal and anomalous test "
                f"clips, but {machine} has no test clip with the label {' or '.join(sorted(missing))}; if the labels "
                "lie elsewhere, name their folder with --labels"
            )
        return self._drawn(clips, self._of_ids(machine, clips) & (clips.frame["label"] == label))

    def labelled(self, machine: str) -> ClipSet:
        """The normal test clips, then the anomalous ones."""
        normal, anomalous = self.test(machine, NORMAL), self.test(machine, ANOMALY)
        return ClipSet(self.bank, np.concatenate([normal.rows, anomalous.rows]))

    def _of_ids(self, machine: str, clips: ClipSet) -> pd.Series[bool]:
        return clips.frame["id"].isin(self.ids_of(machine))

    def _drawn(self, clips: ClipSet, chosen: pd.Series[bool]) -> ClipSet:
        positions = np.flatnonzero(chosen.to_numpy())
        if len(positions) > self.most:
            positions = np.sort(np.random.default_rng(self.seed).permutation(positions)[: self.most])
        return clips.take(positions)


def machines_to_draw(
    figure: PaperFigure, asked_for: Sequence[str], in_data: Sequence[str], with_state: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The machines of a figure, and those of the paper that are left out.

    Without `asked_for` they are those of the paper; if there are none of them, the first others. `with_state` is None
    for a figure that needs no trained detector.
    """
    for machine in asked_for:
        if machine not in in_data:
            raise unknown("machine", machine, in_data)
    if asked_for:
        return tuple(asked_for), ()
    able = [machine for machine in in_data if with_state is None or machine in with_state]
    shown = [machine for machine in figure.machines if machine in able]
    if shown:
        return tuple(shown), tuple(machine for machine in figure.machines if machine not in able)
    return tuple((able or in_data)[: len(figure.machines)]), figure.machines


def embeddings_of(chosen: Chosen, detector: object, clips: ClipSet, name: str = "") -> np.ndarray:
    """[clips, dimensions]: the embeddings of this name, or the first, of a detector that has them."""
    if not hasattr(detector, "embeddings"):
        raise AsdRayError(f"{chosen.record.name}: {chosen.record.family} has no embeddings to show; name another trial")
    with full_float32():
        found = detector.embeddings(clips)
    shown = np.asarray(found[name] if name in found else next(iter(found.values()), ()), np.float64)
    if shown.ndim != 2 or len(shown) != len(clips) or not np.isfinite(shown).all():
        raise AsdRayError(
            f"{chosen.record.name}: embeddings of {chosen.record.family} must be finite numbers [clips, dimensions] of "
            f"{len(clips)} clips, but are {list(shown.shape)}; correct its method embeddings"
        )
    return shown
