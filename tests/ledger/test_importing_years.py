"""Imported systems: their year, their family, their names, and labels that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, export_table, import_table

from .test_importing import write


def scored_table(*, year_labels: bool = True, family: str = "") -> str:
    """Two systems of one machine, with two sections, two domains, held-out clips and, on request, a family."""
    header = "system,machine,id,clip,domain,split,label,score" + (",family" if family else "")
    rows = [header]
    for at, system in enumerate(("Team A/1", "Team B")):
        draw = np.random.default_rng(at)
        for id in ("00", "01"):
            for domain in ("source", "target"):
                for number in range(24):
                    split, label = ("held_out", "normal") if number < 8 else ("test", ("normal", "anomaly")[number % 2])
                    score = draw.normal() + (label == "anomaly")
                    label = label if year_labels else ""
                    row = f"{system},fan,{id},{id}_{domain}_{number}.wav,{domain},{split},{label},{score:.6f}"
                    rows.append(row + (f",{family}" if family else ""))
    return "\n".join(rows) + "\n"


def test_systems_of_a_table_are_evaluated_by_the_cells_of_its_year(ledger: Ledger, tmp_path: Path) -> None:
    from asd_ray.ensembling import load
    from asd_ray.metrics import cells_batch

    path = write(tmp_path, scored_table())
    import_table(ledger, path)
    assert load(ledger, "fan").judged.cells == "AUC and pAUC of each id"
    report = import_table(ledger, path, 2022)
    assert (len(report.stored), len(report.present)) == (2, 0), "the year is new, so the trials are stored again"
    candidates = load(ledger, "fan")
    assert len(candidates) == 2
    assert candidates.judged.cells == "the AUC and pAUC cells of DCASE 2022"
    names, _ = cells_batch(candidates.clips, candidates.scores, candidates.judged.year)
    assert names == [f"{id}/{cell}" for id in ("00", "01") for cell in ("auc_source", "auc_target", "pauc")]
    for again in (None, 2022):
        assert len(import_table(ledger, path, again).present) == 2, "a stored year is kept"
    assert {record.settings.year for record in ledger.records()} == {2022}


def test_imported_systems_keep_their_names_in_leaderboard_ensemble_report_and_export(
    ledger: Ledger, run: Path, tmp_path: Path
) -> None:
    from asd_ray.ensemble import main as ensemble
    from asd_ray.ensembling import finals, load
    from asd_ray.report import main as report
    from asd_ray.reporting.leaderboard import leaderboard

    import_table(ledger, write(tmp_path, scored_table(family="stgram")), 2023)
    names = {"Team A/1", "Team B"}
    rows = leaderboard(load(ledger, "fan"), "hmean", ())["rows"]
    assert {(row["name"], row["family"]) for row in rows} == {(name, "stgram") for name in names}
    assert ensemble(["fan", "--run", str(run), "--recipe", "top_k", "--folds", "2", "--repeats", "1"]) == 0
    final = finals(ledger)["fan"]
    assert final.dataset.year == 2023
    assert {member.name for member in final.members} <= names
    assert report(["--run", str(run)]) == 0
    page = next(run.rglob("report*.html")).read_text()
    assert all(name in page for name in names)
    export_table(ledger, tmp_path / "all.csv")
    table = pd.read_csv(tmp_path / "all.csv")
    assert (set(table["system"]), set(table["family"])) == (names, {"stgram"})


def test_the_family_of_a_system_is_a_column_of_the_table(ledger: Ledger, tmp_path: Path) -> None:
    header, row = "system,machine,id,clip,score,family\n", "A,fan,00,a.wav,1,stgram\n"
    import_table(ledger, write(tmp_path, header + row + "B,fan,00,a.wav,1,\n"))
    assert {record.name: record.family for record in ledger.records()} == {"A": "stgram", "B": "import"}
    assert ledger.records(family="stgram")[0].source == "import"
    for wrong, message in (
        (row + "A,fan,00,b.wav,1,idnn\n", "line 3: the family differs from an earlier row of the same system"),
        ("A,fan,00,a.wav,1,../idnn\n", "line 2: the family name '../idnn' must be 1 to 128"),
    ):
        with pytest.raises(AsdRayError, match=message):
            import_table(ledger, write(tmp_path, header + wrong))
    report = import_table(ledger, write(tmp_path, "system,machine,id,clip,label,score\nA,fan,00,a.wav,normal,1\n"))
    assert [record.family for record in report.stored] == ["stgram"], "one trial is never stored in two families"
    assert any("A of fan stays in the family 'stgram'" in note for note in report.notes)
    assert len(ledger.records()) == 2


def test_trials_of_one_machine_share_one_year(ledger: Ledger, trial, run: Path, tmp_path: Path) -> None:
    ledger.commit(*trial(1, settings=Settings(year=2022)))
    path = write(tmp_path, scored_table())
    with pytest.raises(AsdRayError, match="fan: the run has trials of DCASE 2022, so scores of 2023 cannot join them"):
        import_table(ledger, path, 2023)
    assert len(ledger.records()) == 1
    import_table(ledger, path, 2022)
    other = Ledger(tmp_path / "other")
    import_table(other, path, 2022)
    import_table(other, path, 2023)
    assert {record.settings.year for record in other.records()} == {2023}, "a wrong year can be corrected"


def test_labels_that_are_stored_outweigh_a_year_that_comes_without_them(ledger: Ledger, tmp_path: Path) -> None:
    import_table(ledger, write(tmp_path, scored_table()))
    report = import_table(ledger, write(tmp_path, scored_table(year_labels=False)), 2022)
    assert (len(report.stored), len(report.present)) == (0, 2)
    assert all(record.settings is None for record in ledger.records())
    assert all("the year 2022 was not added" in note for note in report.notes)
    assert len(report.notes) == 2
