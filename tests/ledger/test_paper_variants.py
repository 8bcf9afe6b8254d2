"""The papers' own scores: every family is in the table, and gives what the table names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asd_ray.families.table import FAMILIES
from asd_ray.ledger.paper_variants import PAPER_VARIANTS, papers_own

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "detectors" / "golden_scores.json").read_text())  # of every family and variant


def test_every_shipped_family_is_in_the_table() -> None:
    assert list(PAPER_VARIANTS) == list(FAMILIES)


@pytest.mark.parametrize("family", PAPER_VARIANTS)
def test_a_family_gives_the_variants_that_the_table_names(family: str) -> None:
    given, named = set(GOLDEN[family]["scores"]), set(PAPER_VARIANTS[family])
    assert named <= given
    assert papers_own(family, given) == (named or given)


def test_the_page_of_families_has_the_same_scores() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]+)\|$", (ROOT / "docs" / "families.md").read_text(), flags=re.M)
    assert {family: tuple(re.findall(r"`(\w+)`", own)) for family, own in rows} == PAPER_VARIANTS


def test_all_variants_count_where_the_papers_own_is_not_there() -> None:
    assert papers_own("autoencoder", ["mse", "mahala", "mahala_frame"]) == {"mahala"}
    assert papers_own("autoencoder", ["mse", "mahala_frame"]) == {"mse", "mahala_frame"}
    assert papers_own("stgram", ["nll", "log_odds"]) == {"nll", "log_odds"}  # without ArcFace there is no margin
    assert papers_own("my_detector", ["near", "far"]) == {"near", "far"}
    assert papers_own("idnn", []) == frozenset()
