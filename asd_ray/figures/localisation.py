"""Localisation by AEGAN-AD (Jiang et al. Fig. 4): how far what it rebuilds is from the mean of training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray._precision import full_float32
from asd_ray._terminal import visible
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.table import ANOMALY, TEST
from asd_ray.deploy.explain.own_maps import on_axes
from asd_ray.deploy.explain.picture import SPECTROGRAM_COLOURS, draw_map
from asd_ray.errors import AsdRayError, unknown
from asd_ray.features import DirectFeatures
from asd_ray.features.extract import Features
from asd_ray.figures.drawing import page, plain, set_caption
from asd_ray.figures.request import Request
from asd_ray.figures.trials import Chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (4.6, 2.1)  # inches of a panel
ROWS = ("spectrogram", "rebuilt by the generator", "mean of training", "localisation: their difference")
QUIETEST = 1.0  # per cent of the cells of a column that share the darkest colour
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Located:
    """A clip and the rows of its column, [frames, mels] each, in decibels."""

    clips: ClipSet  # one
    rows: tuple[Floats, Floats, Floats, Floats]
    front_end: Any
    caption: str


def localisation(request: Request) -> Figure:
    """One column per machine: spectrogram, rebuilt spectrogram, mean of training, absolute difference of the two."""
    figure, panels = page(len(ROWS), len(request.machines), SIZE, request.figure.title)
    lines = []
    for machine, column in zip(request.machines, zip(*panels, strict=True), strict=True):
        located = _located(request, machine)
        shown = np.concatenate([values.ravel() for values in located.rows[:3]])
        limits = float(np.percentile(shown, QUIETEST)), float(shown.max())
        samples = located.clips.samples(0)
        for number, (values, name, axes) in enumerate(zip(located.rows, ROWS, column, strict=True)):
            heat_map = replace(on_axes(values, located.front_end, samples), unit="dB")
            of_row = (0.0, float(values.max()) or 1.0) if number == len(ROWS) - 1 else limits
            draw_map(axes, heat_map, plain(visible(f"{machine}: {name}")), SPECTROGRAM_COLOURS, of_row)
            axes.tick_params(labelsize=7)
            if number < len(ROWS) - 1:
                axes.set_xlabel("")
        lines.append(located.caption)
    set_caption(figure, [*lines, *request.notes])
    return figure


def _located(request: Request, machine: str) -> Located:
    chosen = request.chosen(machine)
    detector = request.run.detector(chosen, request.bank)
    if not hasattr(detector, "rebuilt"):
        raise AsdRayError(f"{chosen.record.name}: {chosen.record.family} rebuilds no spectrograms; name another trial")
    clips, how = _clip(request, chosen, machine)
    features = DirectFeatures()
    spectrogram = features.get(detector.front_end, clips).clip(0)
    mean, words = _mean(features.get(detector.front_end, request.training(machine)), spectrogram)
    with full_float32():
        rebuilt = detector.rebuilt(clips)[0]
    caption = f"{machine}: {clips.frame['clip'][0]}, {how}; mean of {words}. {chosen.caption}."
    return Located(clips, (spectrogram, rebuilt, mean, np.abs(rebuilt - mean)), detector.front_end, caption)


def _mean(training: Features, spectrogram: Floats) -> tuple[Floats, str]:
    """The mean spectrogram of the training clips, and what it is.

    It changes over time, as in the authors' program, if all clips are as long as this one. Otherwise every band has
    one mean.
    """
    clips = [training.clip(number) for number in range(len(training))]
    if not clips:
        raise AsdRayError("the training set has no normal clip of these ids; name another --id")
    if all(clip.shape == spectrogram.shape for clip in clips):
        return np.mean(clips, axis=0, dtype=np.float64), f"{len(clips)} training clips, frame by frame"
    mean = np.concatenate(clips).mean(axis=0, dtype=np.float64)
    words = f"{len(clips)} training clips over time, because clips differ in length"
    return np.broadcast_to(mean, spectrogram.shape), words


def _clip(request: Request, chosen: Chosen, machine: str) -> tuple[ClipSet, str]:
    """The clip that is shown, and why."""
    test = request.bank.select(machine, split=TEST)
    if request.clip is not None:
        at = np.flatnonzero((test.frame["clip"] == request.clip).to_numpy())
        if not len(at):
            raise unknown(f"test clip of {machine}", request.clip, test.frame["clip"])
        return test.take(at[:1]), f"named by --clip, label {test.frame['label'][int(at[0])]}"
    anomalous = request.test(machine, ANOMALY)
    if not len(anomalous):
        raise AsdRayError(
            f"{machine} has no anomalous test clip of these ids; name another --id, or a clip with --clip"
        )
    variant = chosen.record.variant
    scores = request.run.ledger.scores(chosen.record, ["test"])
    variant = variant if variant in set(scores["variant"]) else str(scores["variant"].min())
    of_clip = scores[scores["variant"] == variant].set_index("clip")["score"]
    values = anomalous.frame["clip"].map(of_clip).fillna(-np.inf).to_numpy()
    return anomalous.take([int(values.argmax())]), f"the anomalous clip with the highest score ({variant})"
