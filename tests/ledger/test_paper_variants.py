"""The papers' own scores: every family is in the table, and gives what the table names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asd_ray.families import family
from asd_ray.families.table import FAMILIES
from asd_ray.ledger.paper_variants import (
    PAPER_VARIANTS,
    PAPER_VARIANTS_OF,
    SETTINGS_BY_LABELS,
    paper_variants,
    papers_own,
)
from asd_ray.papers import find

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "detectors" / "golden_scores.json").read_text())  # of every family and variant


def test_every_shipped_family_is_in_the_table() -> None:
    assert list(PAPER_VARIANTS) == list(FAMILIES)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_family_gives_the_variants_that_the_table_names(name: str) -> None:
    given, named = set(GOLDEN[name]["scores"]), set(PAPER_VARIANTS[name])
    assert named <= given
    assert papers_own(name, given) == (named or given)


@pytest.mark.parametrize("name", sorted(PAPER_VARIANTS.keys() - GOLDEN.keys()))
def test_a_family_on_weights_of_the_user_has_the_backend_that_the_table_names(name: str) -> None:
    assert set(PAPER_VARIANTS[name]) <= set(family(name).search_space().paper["backends"].split(","))


def test_the_page_of_families_has_the_same_scores() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]+)\|$", (ROOT / "docs" / "families.md").read_text(), flags=re.M)
    assert {family: tuple(re.findall(r"`(\w+)`", own)) for family, own in rows} == PAPER_VARIANTS


def test_all_variants_count_where_the_papers_own_is_not_there() -> None:
    assert papers_own("autoencoder", ["mse", "mahala", "mahala_frame"]) == {"mahala"}
    assert papers_own("autoencoder", ["mse", "mahala_frame"]) == {"mse", "mahala_frame"}
    assert papers_own("stgram", ["nll", "log_odds"]) == {"nll", "log_odds"}  # without ArcFace there is no margin
    assert papers_own("my_detector", ["near", "far"]) == {"near", "far"}
    assert papers_own("idnn", []) == frozenset()


def test_aegan_ad_has_the_score_of_each_machine_of_2022_as_its_published_row_has() -> None:
    table = find("jiang2023").table("1")
    (member,) = table.row("Ours").members
    given = GOLDEN["aegan_ad"]["scores"]
    for machine in table.machines:
        own = paper_variants("aegan_ad", machine, 2022)
        assert own == member.variants_on(machine)
        assert papers_own("aegan_ad", given, machine, 2022) == set(own) < set(given)
    assert list(PAPER_VARIANTS_OF["aegan_ad"][2022]) == list(table.machines)


@pytest.mark.parametrize(("machine", "year"), [("valve", 2022), ("fan", 2020), ("fan", None), ("", 2022)])
def test_other_machines_and_editions_have_no_single_score_of_aegan_ad(machine: str, year: int | None) -> None:
    given = set(GOLDEN["aegan_ad"]["scores"])
    assert paper_variants("aegan_ad", machine, year) == ()
    assert papers_own("aegan_ad", given, machine, year) == papers_own("aegan_ad", given) == given
    assert paper_variants("idnn", machine, year) == ("mean",)


def test_settings_by_labels_are_those_that_depend_on_the_machine() -> None:
    years = {name: tuple(family(name).search_space().paper_of) for name in FAMILIES}
    assert {name: own for name, own in years.items() if own} == SETTINGS_BY_LABELS
