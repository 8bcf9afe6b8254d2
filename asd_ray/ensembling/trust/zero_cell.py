"""A number that is 0 because one of its cells is: that says little where the cell has few clips.

In 2 normal and 2 anomalous clips, an AUC is 0 by chance in one of 6 cases. The harmonic mean of all cells is then 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import in_words
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust._measured import counts_of_cells
from asd_ray.ensembling.trust_warning import TrustWarning
from asd_ray.metrics.evaluable import ANOMALY, NORMAL

NAME = "zero_cell"
PRINTED_AS_0 = 5e-5  # below it; the official harmonic mean of numbers with a 0 is a little more than 0
SHOWN = 3  # cells in a sentence


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    """One for all protocols whose number is 0 because of the same cells; that of the headline comes first."""
    first = ensemble.headline_protocol
    names: dict[str, list[str]] = {}  # sentence -> protocols
    numbers: dict[str, dict[str, float]] = {}
    for protocol in sorted(ensemble.metrics, key=lambda name: name != first):
        metric = ensemble.metrics[protocol]
        zero = [cell for cell, value in metric.cells.items() if value == 0]
        if metric.value >= PRINTED_AS_0 or not zero:
            continue
        counts = counts_of_cells(members, protocol)
        sentence = _sentence(zero, counts)
        names.setdefault(sentence, []).append(protocol)
        fewest = [min(counts[cell][at] for cell in zero) for at in (0, 1)]
        numbers[sentence] = {"cells": len(zero), NORMAL: fewest[0], ANOMALY: fewest[1]}
    for sentence, protocols in names.items():
        yield TrustWarning(NAME, f"{sentence} ({', '.join(protocols)}).", numbers[sentence])


def reason(ensemble: Ensemble, known: Sequence[TrustWarning] | None = None) -> str:
    """Why the headline is 0, to stand beside it; "" if it is not. `known` replace the warnings of the file."""
    if ensemble.headline is None or ensemble.headline.value >= PRINTED_AS_0:
        return ""
    given = ensemble.warnings or () if known is None else known
    return next((each.sentence.removesuffix(".") for each in given if each.name == NAME), "")


def _sentence(zero: Sequence[str], counts: dict[str, tuple[int, int]]) -> str:
    parts = []
    for cell in zero[:SHOWN]:
        normals, anomalies = counts[cell]
        words = in_words(cell)
        comma = "," * ("," in words)
        parts.append(f"{words}{comma} is 0 in {normals} normal and {anomalies} anomalous clips")
    if len(zero) > SHOWN:
        parts.append(f"{len(zero) - SHOWN} more cells are 0")
    return f"{', '.join(parts)}, and a harmonic mean with a 0 in it is 0"
