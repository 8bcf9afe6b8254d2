"""The table of how much a search flatters its own numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.flattery import summary


def test_each_number_is_compared_with_the_one_of_unseen_clips() -> None:
    table = pd.DataFrame(
        {"oracle": [0.9, 0.8], "unseen": [0.7, 0.7], "single oracle": [0.85, 0.75], "single unseen": [0.6, 0.7]}
    )
    rows = summary(table)
    assert rows.loc["mean", "oracle"] == pytest.approx(0.85)
    assert rows.loc["above unseen", "oracle"] == pytest.approx(0.15)
    assert rows.loc["above unseen", "single oracle"] == pytest.approx(0.15), "the best single is compared with itself"
    assert rows.loc["above unseen", "unseen"] == 0
    assert rows.loc["standard error", "oracle"] == pytest.approx(0.05)
