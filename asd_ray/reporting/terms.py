"""The words of the report that need an explanation, and the tooltip that has it where the word stands.

The explanation opens with the mouse, with the keyboard and with a finger, and needs no script: see ``page/words.css``.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView
from itertools import count

from markupsafe import Markup

from asd_ray._terminal import visible
from asd_ray.ensembling import protocols
from asd_ray.errors import unknown

TERMS = {
    "forecast": "What to expect on new sound that is like the test clips: no member was chosen by the clips that it is "
    "measured on. Only under unseen did the search itself not use the labels of these clips either.",
    "AUC": "The share of pairs in which an anomaly scores higher than a normal clip. 1 is perfect, 0.5 is chance.",
    "pAUC": "The AUC where false alarms are rare, at 10 % or less of the normal clips. 1 is perfect, 0.5 is chance.",
    "hmean": "The harmonic mean of all AUC and pAUC values of a machine. A single weak one lowers it.",
    "95 %": "How uncertain the number is, because it is measured on a limited number of clips: in about 95 of 100 such "
    "measurements, the interval contains the number that very many clips would give.",
    "oracle": "Measured on the clips that chose the members. It is too good, so do not quote it.",
    "gain": "The difference from the best single detector on the same clips. Better: the 95 % interval lies above 0, "
    "also when corrected for the number of recipes tried, and no other forecast disagrees.",
    "trust": "High, medium or low, by the protocol of the number, the width of its interval, the number of clips, and "
    "the warnings of the machine's part.",
    "needs all clips": "Transductive: the score of a clip depends on the other clips that are scored with it.",
    "candidate": "A trained detector with one way to compute its score.",
    "protocol": "How labels were used for the number. Compare only numbers of the same protocol.",
    "gap": "oracle minus crossval: how much too good the number is on the clips that chose the members.",
    "faults": "The value on injected faults, between 0 and 1: faults were added to normal clips. It compares "
    "detectors, and does not forecast how well real faults are found.",
    "cells": "The AUC or pAUC of one id, and of one domain if the name has one (source or target). The measures of a "
    "machine are the harmonic means of these.",
    "objective": "What the search compares trials by: hmean of the test clips, or the value on injected faults.",
    "points": "The best objective in hundredths above 0.5, which is chance.",
}


class Terms:
    """Makes the tooltips of one page; the ids of their elements count up."""

    def __init__(self) -> None:
        self._next = count(1)
        self._words = {each.name: f"Protocol: {each.sentence}." for each in protocols.every()} | TERMS
        # words of sentences: "forecast" as a noun, and no part of a recipe's name such as label_free.mean
        listed = "|".join(["pAUC", "AUC", "hmean", "95 %", "cells", *protocols.names()])
        self._in_sentences = re.compile(rf"(?<![\w-])({listed}|candidates?|(?<!not )forecast)(?!\w|\.\w)")

    def items(self) -> ItemsView[str, str]:
        """Term -> its explanation."""
        return self._words.items()

    def __contains__(self, term: object) -> bool:
        return term in self._words

    def __call__(self, term: str, shown: str = "") -> Markup:
        """The word `shown`, by default the term itself, with its explanation."""
        if term not in self._words:
            raise unknown("term", term, list(self._words))
        id = f"term-{next(self._next)}"
        return Markup(
            '<span class="term"><button type="button" aria-describedby="{}">{}</button>'
            '<span role="tooltip" id="{}">{}</span></span>'
        ).format(id, shown or term, id, self._words[term])

    def explained(self, sentence: str) -> Markup:
        """The sentence, with an explanation of each measure, protocol, candidate and forecast in it."""
        parts = self._in_sentences.split(visible(sentence, lines=True))  # words with an explanation are at odd places
        return Markup("").join(
            self("candidate" if part == "candidates" else part, part) if at % 2 else part
            for at, part in enumerate(parts)
        )
