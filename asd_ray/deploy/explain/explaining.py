"""Explain the score of one sound."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.explain.explanation import CLIP_ITSELF, NORMAL_SOUND, OCCLUSION, Explanation
from asd_ray.deploy.explain.heat_map import Floats, Grid, HeatMap
from asd_ray.deploy.explain.occlusion import Occlusion, PatchCallback, mask_of
from asd_ray.deploy.explain.own_maps import own_map
from asd_ray.deploy.explain.regions import describe, strongest
from asd_ray.deploy.explain.spectrum import SMALLEST, Spectrum
from asd_ray.deploy.result import Samples, Scorer
from asd_ray.errors import AsdRayError

LONGEST = 300.0  # seconds; the time to explain a clip grows with its length
LEAST = 0.1  # of the score above that of typical normal sound: a region that explains less is not reported …
SPREAD = 4.0  # … nor one that explains less than LEAST of so many deviations of the normal scores


@runtime_checkable
class HasNormalProfile(Protocol):
    """A scorer that knows what is normal in each frequency bin. A `Bundle` does."""

    def normal_profile(self, id: str) -> npt.NDArray[np.float64] | None:
        """The median magnitude of normal sound per bin of `Spectrum`; None if it is unknown."""
        ...


def explain(
    scorer: Scorer,
    wave: Samples,
    id: str = "",
    *,
    name: str = "",
    grid: Grid | None = None,
    own: bool = False,
    normal: Floats | None = None,
    progress: PatchCallback = lambda done, total: None,
) -> Explanation:
    """Where in `wave` (int16 at the scorer's rate) its score comes from.

    Of a wave [channels, samples] the first channel is shown and filled; the others stay as they are. So a map shows
    what the near microphone adds to the score, and not what the far one does.

    Patches of the clip are filled with what is normal there, and the clip is scored again; the map is the drop of the
    score. With `own` the map is that of the members that have one, and only its regions are filled and scored.
    `normal` is the median magnitude of normal sound per frequency bin, if not the scorer's own: without both, each bin
    of the clip is compared with its own median over time, and a fault that lasts as long as the clip cannot be seen.
    `progress(done, total)` is called after each batch of altered clips.
    """
    grid = grid or Grid()
    shown_wave: Samples = wave if wave.ndim == 1 else wave[0]
    seconds = len(shown_wave) / scorer.rate
    if seconds > LONGEST:
        raise AsdRayError(f"this sound lasts {seconds:.0f} s and at most {LONGEST:g} s are explained; cut a part out")
    (before,) = scorer.score_waves([wave], id)
    spectrum = Spectrum.of(shown_wave, scorer.rate)
    if normal is None and isinstance(scorer, HasNormalProfile):
        normal = scorer.normal_profile(before.id)
    filled_from = CLIP_ITSELF if normal is None else NORMAL_SOUND
    if normal is None:
        normal = np.median(spectrum.magnitudes, axis=1)
    occlusion = Occlusion(scorer, id, spectrum, normal, None if wave.ndim == 1 else wave[1:])
    usual = scorer.normal_scores(before.id)
    typical = float(np.median(usual))
    least = LEAST * max(before.score - typical, SPREAD * float(usual.std()))
    if own:
        shown, families = own_map(scorer, wave, before.id)
        method = f"own maps of {', '.join(families)}"
        searched = shown.on(grid.hz(scorer.rate), grid.seconds(seconds))
    else:
        searched = shown = occlusion.heat_map(before.score, grid, progress)
        method = OCCLUSION
    found = strongest(searched)
    masks = [mask_of(spectrum, searched, cells) for cells in found]
    scores = occlusion.scores_without(masks)
    kept = [at for at, score in enumerate(scores) if before.score - score >= least and score < before.score]
    regions = [describe(searched, found[at], spectrum, normal, scores[at]) for at in kept]
    together = [np.logical_or.reduce([masks[at] for at in kept])] if kept else []
    return Explanation(
        name=name,
        id=before.id,
        seconds=round(seconds, 4),
        score=before.score,
        threshold=before.threshold,
        typical=typical,
        regions=tuple(regions),
        score_without=next(iter(occlusion.scores_without(together)), None),
        method=method,
        filled_from=filled_from,
        grid=grid,
        warnings=before.warnings,
        map=shown,
        spectrogram=_spectrogram(spectrum),
    )


def _spectrogram(spectrum: Spectrum) -> HeatMap:
    """Levels in dB relative to a full-scale sine."""
    scale = 4 / spectrum.n_fft  # a sine of amplitude 1 has a magnitude of a fourth of the window's length
    values = 20 * np.log10(np.maximum(spectrum.magnitudes * scale, SMALLEST))
    bin_hz, hop = spectrum.rate / spectrum.n_fft, spectrum.hop / spectrum.rate
    hz = np.clip((np.arange(len(values) + 1) - 0.5) * bin_hz, 0.0, spectrum.rate / 2)
    length = len(spectrum.samples) / spectrum.rate
    seconds = np.clip((np.arange(values.shape[1] + 1) - 0.5) * hop, 0.0, length)
    return HeatMap(values, hz, seconds, "dB of full scale")
