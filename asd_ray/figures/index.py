"""The figures of the papers: what each shows, from which rows of their tables, and what the paper leaves open.

A new figure is one entry here; its kind says how it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asd_ray.errors import AsdRayError
from asd_ray.papers import PaperRow, find

RAINBOWGRAM, BY_LABEL, BY_ID, BY_DOMAIN, LOCALISATION = "rainbowgram", "by_label", "by_id", "by_domain", "localisation"


@dataclass(frozen=True)
class TSne:
    """The settings of t-SNE; by default those of scikit-learn."""

    perplexity: float = 30.0
    iterations: int = 1000
    learning_rate: float | None = None  # None: chosen by the number of clips


@dataclass(frozen=True)
class PaperFigure:
    """One figure of a paper."""

    number: str
    kind: str
    title: str
    machines: tuple[str, ...]  # that the paper shows
    left_open: str  # what the paper does not say, and what is chosen here
    table: str = ""  # of `rows`; "" for a figure that needs no trained detector
    rows: tuple[str, ...] = ()  # whose detectors are shown, by printed name
    told_by: str = ""  # the parameter that tells the rows apart
    ids: Mapping[str, str] = field(default_factory=dict)  # machine -> the only id that the paper shows
    embedding: str = ""  # which of the detector's embeddings; "" is the first
    t_sne: TSne = TSne()

    def paper_rows(self, key: str) -> tuple[PaperRow, ...]:
        """The rows of the paper's table that the figure is drawn from."""
        return tuple(find(key).table(self.table).row(name) for name in self.rows)


FIGURES: dict[str, tuple[PaperFigure, ...]] = {
    "kim2021": (
        PaperFigure(
            "1",
            RAINBOWGRAM,
            "Rainbowgrams of anomalous and normal clips",
            ("fan", "pump"),
            "which clips; range, resolution and hop of the constant-Q transform. Here: the first clips of each label, "
            "from 65 Hz to just below half the rate, 24 bins per octave, 256 samples at 16 kHz",
            ids={"fan": "06", "pump": "00"},
        ),
        PaperFigure(
            "4",
            BY_LABEL,
            "t-SNE of the classifier's representation, normal and anomalous test clips",
            ("fan", "pump", "slider", "valve"),
            "which representation, and which ids. Here: T, by which clips are scored, averaged over a clip; and one "
            "id per machine, because 359, 100 and 89 anomalous clips are those of fan 02, pump 04 and slider 06 in "
            "MIMII; 118 of the valve fit none, id 00 has 119. The paper has 200 iterations, scikit-learn at least 250",
            table="II",
            rows=("Proposed / Complex / Deep encoder with attention block",),
            ids={"fan": "02", "pump": "04", "slider": "06", "valve": "00"},
            embedding="total",
            t_sne=TSne(30.0, 250, 1000.0),
        ),
    ),
    "liu2022": (
        PaperFigure(
            "2",
            BY_ID,
            "t-SNE of log-Mel spectrogram and Tgram for the MFN classifier, by id and label",
            ("fan",),
            "which latent features, and all settings of t-SNE. Here: the embeddings of LogMel-MFN and Tgram-MFN of "
            "table 4. The contours around one id were drawn by the authors, and are left out",
            table="4",
            rows=("LogMel-MFN", "Tgram-MFN"),
            told_by="inputs",
        ),
    ),
    "jiang2023": (
        PaperFigure(
            "3",
            BY_DOMAIN,
            "t-SNE of the mean and deviation that each layer normalisation computes, by domain and label",
            ("ToyCar",),
            "which layers, what is done with several windows, whether the three parts are one map, and all settings "
            "of t-SNE. Here: all layers of generator and critic, the mean over a clip's windows, each statistic "
            "divided by its deviation, one map for all clips",
            table="1",
            rows=("Ours",),
            embedding="layer_statistics",
        ),
        PaperFigure(
            "4",
            LOCALISATION,
            "Localisation: rebuilt spectrogram, mean spectrogram of training, and their difference",
            ("bearing", "ToyCar"),
            "which clips. Here: the anomalous clip with the highest score, with its own spectrogram in the first row",
            table="1",
            rows=("Ours",),
        ),
    ),
}
NOT_DRAWN: dict[str, dict[str, str]] = {
    "kim2021": {"2": "a diagram of the net", "3": "a diagram of the attention"},
    "liu2022": {"1": "a diagram of the method"},
    "cho2022": {"1": "a diagram of the method"},
    "jiang2023": {
        "1": "two clips rebuilt by an autoencoder that no table has; asd-ray explain --own maps the errors of ours",
        "2": "a diagram of the method",
    },
}


def figures_of(key: str) -> tuple[PaperFigure, ...]:
    """The figures of a paper that can be drawn."""
    return FIGURES.get(find(key).key, ())


def find_figure(key: str, number: str) -> PaperFigure:
    """The figure of this number, as it is printed in the paper; AsdRayError if it cannot be drawn."""
    figures = {figure.number: figure for figure in figures_of(key)}
    if number in figures:
        return figures[number]
    known = ", ".join(figures)
    can = f"of {key} there are the figures {known}" if known else f"no figure of {key} is drawn here"
    if why := NOT_DRAWN.get(key, {}).get(number):
        raise AsdRayError(f"figure {number} of {key} is {why}; {can}")
    others = ", ".join(f"{other} ({', '.join(one.number for one in own)})" for other, own in FIGURES.items())
    raise AsdRayError(f"unknown figure {number!r}; {can}. Papers with figures: {others}")
