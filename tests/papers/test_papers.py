from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import Context
from asd_ray.errors import AsdRayError
from asd_ray.families import family
from asd_ray.ledger.paper_variants import PAPER_VARIANTS
from asd_ray.metrics import EDITIONS
from asd_ray.papers import PAPERS, Measure, Member, Paper, PaperRow, PaperTable, average, find, overview
from asd_ray.papers.measure import AUC, MAUC, RULES
from tests.conformance_setups import SETUPS

TABLES = [(key, table) for key in PAPERS for table in find(key).tables]
ROWS = [(f"{key} {table.number} {row.name}", table, row) for key, table in TABLES for row in table.rows]
MEMBERS = [(name, table, member) for name, table, row in ROWS for member in row.members]


def settings(member: Member, machines: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every setting that differs from PAPER which a run of the member would use."""
    own = [member.params_on(machine) for machine in machines] or [dict(member.params)]
    return [*own, *map(dict, member.alternatives)]


@pytest.mark.parametrize("key", PAPERS)
def test_a_paper_is_found_by_its_key(key: str) -> None:
    paper = find(key)
    assert isinstance(paper, Paper)
    assert paper.key == key
    assert key.endswith(str(paper.year))
    assert paper.title
    assert paper.venue
    assert paper.tables or paper.note
    numbers = [table.number for table in paper.tables]
    assert len(set(numbers)) == len(numbers)


def test_a_citation_names_one_or_two_authors() -> None:
    assert [find(key).citation for key in ("cho2022", "choi2024", "liu2022")] == [
        "Cho 2022",
        "Choi, Choi 2024",
        "Liu et al. 2022",
    ]


def test_unknown_papers_tables_and_rows_come_with_those_that_are_known() -> None:
    with pytest.raises(AsdRayError, match="unknown paper 'liu2021'; did you mean 'liu2022'"):
        find("liu2021")
    with pytest.raises(AsdRayError, match="unknown table of kim2021 '2'; known: II"):
        find("kim2021").table("2")
    with pytest.raises(AsdRayError, match="baseline2025 has no table: No number"):
        find("baseline2025").table("1")
    with pytest.raises(AsdRayError, match="unknown row of table II 'Giri'"):
        find("kim2021").table("II").row("Giri")


@pytest.mark.parametrize(("name", "table"), [(f"{key} {table.number}", table) for key, table in TABLES])
def test_a_table_is_of_an_edition_and_its_cells(name: str, table: PaperTable) -> None:
    edition = EDITIONS[table.year]
    assert table.dataset == f"dcase{edition.year}"
    assert set(table.machines) <= set(edition.development if table.split == "development" else edition.evaluation)
    for measure in table.measures:
        assert set(measure.cells) <= set(edition.cells.names)
        assert measure.rule in RULES
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "table", "row"), ROWS, ids=[name for name, *_ in ROWS])
def test_a_row_has_its_numbers_and_its_protocol(name: str, table: PaperTable, row: PaperRow) -> None:
    assert row.protocol
    assert all(0 < value <= 100 for values in [*row.values.values(), row.average] for value in values)
    assert bool(row.average) == bool(table.rule)
    assert row.cannot or row.members
    assert (row.combine in ("mean", "max")) == (len(row.members) > 1)
    assert (row.standardise == "train") == (len(row.members) > 1)
    assert set(row.additional) <= set(table.machines)


def test_averages_are_those_of_the_rows_but_three() -> None:
    """Kim's third row is 91.035, printed as 91.03."""
    differing = {
        (key, table.number, row.name, measure.name)
        for key, table in TABLES
        if table.rule and table.machines
        for row in table.rows
        for at, measure in enumerate(table.measures)
        if abs(average(table.rule, [row.values[m][at] for m in table.machines]) - row.average[at]) > 0.005 + 1e-9
    }
    assert differing == {
        ("liu2022", "2", "MobileNetV2", "AUC"),
        ("liu2022", "2", "Glow_Aff", "AUC"),
        ("liu2022", "2", "Glow_Aff", "pAUC"),
    }
    assert "MobileNetV2" in find("liu2022").table("2").note
    assert "Glow_Aff" in find("liu2022").table("2").note


def test_the_same_row_has_the_same_numbers_in_every_table() -> None:
    liu = find("liu2022")
    for row in liu.table("4").rows[-2:]:
        for machine, (auc, mauc) in row.values.items():
            assert liu.table("2").row(row.name).values[machine][0] == auc
            assert liu.table("3").row(row.name).values[machine] == (mauc,)
    official = find("cho2022").table("1").row("MobileNetV2(Baseline)").members
    assert official == find("jiang2023").table("1").row("Official-2").members
    assert official == find("baseline2022").table("development").row("MobileNetV2").members


@pytest.mark.parametrize(("name", "table", "member"), MEMBERS, ids=[name for name, *_ in MEMBERS])
def test_a_member_differs_from_its_family_s_paper_setting_as_it_says(
    name: str, table: PaperTable, member: Member
) -> None:
    own = family(member.family)
    paper = own.search_space().known
    context = Context(torch.device("cpu"), 0)
    for params in settings(member, table.machines):
        assert set(params) <= own.parameters
        assert [param for param, value in params.items() if value == paper[param]] == []
        own.detector(context, **{**paper, **params})  # raises for a value that the family does not know
    assert set(member.params_of) <= set(table.machines)
    assert set(member.variant_of) <= set(table.machines)
    assert set(member.variant_of.values()) <= set(member.variants)


def variants_by_setting() -> dict[tuple[str, str], set[str]]:
    """(family, head) -> all variants that rows name. No other parameter of a row changes which variants there are."""
    found: dict[tuple[str, str], set[str]] = {}
    for _, table, member in MEMBERS:
        for params in settings(member, table.machines):
            setting = {**family(member.family).search_space().paper, **params}
            found.setdefault((member.family, setting.get("head", "")), set()).update(member.variants)
    return found


@pytest.mark.parametrize(("name", "head"), variants_by_setting())
def test_a_family_gives_the_variants_that_rows_name(name: str, head: str, tmp_path: Path) -> None:
    setup = SETUPS.get(name, {})
    quickest = {"epochs": 1, "steps": 1, "hop": 64, "batch_size": 64, "warps": 0, "backends": ""}
    smaller = {**setup.get("smaller", {}), **quickest, **({"head": head} if head else {})}
    workspace = Workspace(tmp_path, setup.get("seconds", 1.0), smaller=smaller)
    scores = workspace.fitted(family(name)).score(workspace.bank("plain").select(split="test"))
    assert variants_by_setting()[name, head] <= set(scores)
    if name == "aegan_ad":
        assert variants_by_setting()[name, head] == set(scores)


def test_a_row_at_the_paper_s_setting_has_the_paper_s_own_score() -> None:
    """The autoencoder's PAPER has a second official score, of which the baselines of 2023 and 2024 have rows."""
    plain = [row.members[0] for _, _, row in ROWS if row.is_paper_setting]
    differing = {(one.family, one.variants) for one in plain if one.variants != PAPER_VARIANTS[one.family]}
    assert len(plain) > 10
    assert differing == {("autoencoder", ("mse",))}


def test_aegan_ad_is_set_and_scored_by_machine() -> None:
    (member,) = find("jiang2023").table("1").row("Ours").members
    assert member.params_on("ToyCar") == {"first_norm": False, "beta1": 0.0}
    assert member.params_on("slider") == {}
    assert member.variants_on("slider") == ("D_lof",)
    assert len(member.variants_on("another")) == 19
    (batch,) = find("jiang2023").table("2").row("BN+LN").members
    assert batch.params_on("gearbox") == member.params_on("gearbox") == {"norm": "batch", "matching": "mean_std"}


def test_a_row_says_which_training_clips_the_authors_used() -> None:
    of_jiang = find("jiang2023").table("1").row("Ours")
    both = "trained on the development and the additional training clips"
    assert of_jiang.training_clips == f"{both}: bearing, fan; on the development clips alone: gearbox, slider, ToyCar"
    assert f"; {of_jiang.training_clips}; " in of_jiang.here
    assert f"; trained jointly; {both}; " in find("liu2022").table("2").row("STgram-MFN(CEE)").here
    records = {record["row"]: record["training clips"] for record in find("jiang2023").table("1").records()}
    assert (records["Ours"], records["AnoGAN"]) == (of_jiang.training_clips, "")


def test_giri_s_classifiers_have_every_combination_of_augmentations() -> None:
    row = find("giri2020").table("1").row("System 1, max")
    assert [member.family for member in row.members] == ["id_classifier", "id_classifier", "group_made"]
    assert row.families == ("id_classifier", "group_made")
    paper = family("id_classifier").search_space().paper
    for net, member in zip(("mobilenet_v2", "resnet50"), row.members[:2], strict=True):
        found = [{**paper, **params} for params in settings(member, ("fan",))]
        assert {params["net"] for params in found} == {net}
        mixed = {(params["mix"], bool(params["warps"])) for params in found}
        assert mixed == {(mix, warps) for mix in ("none", "before", "after", "both") for warps in (True, False)} - {
            ("none", False)
        }


def test_a_measure_is_computed_from_a_machine_s_cells() -> None:
    cells = {"00/auc": 0.9, "02/auc": 0.7, "00/pauc": 0.6, "02/pauc": 0.5}
    assert AUC.value(cells) == pytest.approx(80)
    assert MAUC.value(cells) == pytest.approx(70)
    assert find("liu2022").table("3").measures == (MAUC,)
    assert Measure("both", ("auc", "pauc"), "hmean").value(cells) == pytest.approx(
        4 / (sum(1 / v for v in cells.values())) * 100
    )
    with pytest.raises(AsdRayError, match="pAUC needs the cells pauc, but there are 00/auc"):
        Measure("pAUC", ("pauc",), "mean").value({"00/auc": 0.9})
    with pytest.raises(AsdRayError, match="'median' is no rule of averaging; use mean, hmean, min"):
        average("median", [1.0])
    with pytest.raises(AsdRayError, match="needs at least one value"):
        average("mean", [])


def test_a_table_with_a_number_too_few_is_refused() -> None:
    row = PaperRow("IDNN", {"fan": (1.0,), "pump": ()}, "")
    with pytest.raises(AsdRayError, match="table 1, IDNN: needs one number per machine and measure"):
        PaperTable("1", "", "dcase2020", "development", ("fan", "pump"), (AUC,), "", (row,))
    with pytest.raises(AsdRayError, match="table 1: no such split or rule: 'dev', ''"):
        PaperTable("1", "", "dcase2020", "dev", (), (AUC,), "", ())


def test_a_table_is_a_frame() -> None:
    frame = find("liu2022").table("2").frame().set_index("row")
    assert len(frame) == 5
    assert frame.loc["STgram-MFN(ArcFace)", "ToyConveyor pAUC"] == 63.60
    assert frame.loc["STgram-MFN(ArcFace)", "average AUC"] == 92.36
    assert frame.loc["STgram-MFN(CEE)", "settings"] == "stgram, head=softmax, score nll"
    assert find("jiang2023").table("1").frame().set_index("row").loc["Ours", "system"] == "AEGAN-AD"


def test_the_overview_counts_rows_and_those_that_can_be_run() -> None:
    counts = {(record["paper"], record["table"]): (record["rows"], record["can be run"]) for record in overview()}
    assert counts["cho2022", "1"] == (3, 2)
    assert counts["jiang2023", "1"] == (8, 5)
    assert counts["baseline2025", "none known"] == (0, 0)
    assert len(counts) == len(TABLES) + 1


def test_the_page_has_every_paper_and_its_example_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "papers.md").read_text()
    named = set(re.findall(r"(?m)^\| `(\w+)`(?: … `(\w+)`)? \|", page))
    baselines = {f"baseline{year}" for year in range(2020, 2026)}
    assert {first for first, _ in named} | baselines == set(PAPERS)
    assert ("baseline2020", "baseline2025") in named
    block, _of_a_run, _of_a_figure = re.findall(r"(?ms)^```python\n(.*?)^```$", page)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["row"].values["fan"] == (91.30, 86.73)
    assert names["table"].measures[0].value({"00/auc": 0.9, "02/auc": 0.8}) == pytest.approx(85)
    assert average("mean", [94.04, 91.94]) == pytest.approx(92.99)
