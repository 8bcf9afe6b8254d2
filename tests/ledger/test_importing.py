from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, candidate_matrix, compact, export_table, import_submission, import_table
from asd_ray.ledger.exporting import Exported

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "dcase2020"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data of DCASE 2020 is not beside the project")

GOOD = """\
system,machine,id,clip,domain,split,label,score
A,fan,00,a.wav,source,test,normal,0.25
A,fan,02,b.wav,target,test,anomaly,1.5
B,fan,00,a.wav,source,test,normal,-3e-1
B,fan,02,b.wav,target,test,anomaly,7
"""


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_system_of_a_table_becomes_a_candidate(ledger: Ledger, tmp_path: Path) -> None:
    report = import_table(ledger, write(tmp_path, GOOD))
    assert (len(report.stored), len(report.present), report.rows) == (2, 0, 4)
    matrix = candidate_matrix(ledger, "fan")
    assert matrix.candidates["name"].tolist() == ["A", "B"]
    np.testing.assert_array_equal(matrix.scores, np.float32([[0.25, 1.5], [-0.3, 7]]))
    assert matrix.clips.to_dict("list") == {
        "clip": ["a.wav", "b.wav"],
        "id": ["00", "02"],
        "domain": ["source", "target"],
        "label": ["normal", "anomaly"],
    }
    [record] = [record for record in ledger.records() if record.name == "A"]
    assert (record.family, record.source, record.params, record.variant) == (
        "import",
        "import",
        {"system": "A"},
        "score",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "aliases",
            "System,Machine_Type,SECTION,file,score\nA,fan,section_00,a.wav,0.25\nA,fan,section_02,b.wav,1.5\n",
        ),
        ("only what is needed", "system,machine,id,clip,score\nA,fan,00,a.wav,0.25\nA,fan,02,b.wav,1.5\n"),
        ("ids of 2020", "system,machine,id,filename,anomaly_score\nA,fan,id_00,a.wav,0.25\nA,fan,id_02,b.wav,1.5\n"),
        (
            "blank lines before the header",
            "\n  \n\nsystem,machine,id,clip,score\nA,fan,00,a.wav,0.25\n\nA,fan,02,b.wav,1.5\n",
        ),
        ("semicolons", "system;machine;id;clip;score\nA;fan;00;a.wav;0.25\nA;fan;02;b.wav;1.5\n"),
        ("tabs", "system\tmachine\tid\tclip\tscore\nA\tfan\t00\ta.wav\t0.25\nA\tfan\t02\tb.wav\t1.5\n"),
        ("other columns and order", "note,score,clip,id,machine,system\nx,1.5,b.wav,02,fan,A\ny,0.25,a.wav,00,fan,A\n"),
        ("Windows", "\ufeffsystem,machine,id,clip,score\r\nA,fan,00,a.wav,0.25\r\nA,fan,02,b.wav,1.5\r\n\r\n"),
        ("quotes", '"system","machine","id","clip","score"\n"A","fan","00","a.wav","0.25"\nA, fan ,02,b.wav, 1.5\n'),
    ],
)
def test_tables_are_understood_as_people_write_them(ledger: Ledger, tmp_path: Path, name: str, text: str) -> None:
    import_table(ledger, write(tmp_path, text))
    matrix = candidate_matrix(ledger, "fan")
    assert matrix.scores.tolist() == [[0.25, 1.5]]
    assert matrix.clips["id"].tolist() == ["00", "02"]
    assert matrix.clips["clip"].tolist() == ["a.wav", "b.wav"]
    assert set(matrix.clips["label"]) == {"unknown"}


@pytest.mark.parametrize(
    ("word", "stored"),
    [
        ("0", "normal"),
        ("1", "anomaly"),
        ("1.0", "anomaly"),
        ("Abnormal", "anomaly"),
        ("NORMAL", "normal"),
        ("", "unknown"),
    ],
)
def test_labels_are_translated_to_the_ledgers_words(ledger: Ledger, tmp_path: Path, word: str, stored: str) -> None:
    import_table(ledger, write(tmp_path, f"system,machine,id,clip,label,score\nA,fan,00,a.wav,{word},1\n"))
    assert candidate_matrix(ledger, "fan").clips["label"].tolist() == [stored]


def test_importing_again_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    import_table(ledger, path)
    shuffled = write(tmp_path, "\n".join([GOOD.splitlines()[0], *reversed(GOOD.splitlines()[1:])]), "shuffled.csv")
    for again in (path, shuffled):
        report = import_table(ledger, again)
        assert (len(report.stored), len(report.present)) == (0, 2)
    compact(ledger)
    assert len(import_table(ledger, path).present) == 2
    assert len(ledger.records()) == 2


def test_other_scores_under_a_known_name_are_both_kept_with_a_note(ledger: Ledger, tmp_path: Path) -> None:
    import_table(ledger, write(tmp_path, GOOD))
    report = import_table(ledger, write(tmp_path, GOOD.replace("0.25", "0.26")))
    assert [record.name for record in report.stored] == ["A"]
    assert any("A of fan was imported before with other scores" in note for note in report.notes)
    assert len(ledger.records()) == 3


def test_scores_that_float32_makes_equal_are_reported(ledger: Ledger, tmp_path: Path) -> None:
    text = "system,machine,id,clip,score\nA,fan,00,a.wav,1.00000001\nA,fan,00,b.wav,1.00000002\n"
    assert any("1 more ties" in note for note in import_table(ledger, write(tmp_path, text)).notes)


def test_labels_that_come_later_replace_an_import_without_them(ledger: Ledger, tmp_path: Path) -> None:
    bare = "\n".join(",".join(line.split(",")[i] for i in (0, 1, 2, 3, 7)) for line in GOOD.splitlines())
    for compacted in (False, True):
        import_table(ledger, write(tmp_path, bare, "bare.csv"))
        if compacted:
            compact(ledger)
        report = import_table(ledger, write(tmp_path, GOOD))
        assert (len(report.stored), report.notes) == ((2, []) if not compacted else (0, []))
        assert len(import_table(ledger, write(tmp_path, bare, "bare.csv")).present) == 2
    matrix = candidate_matrix(ledger, "fan")
    assert matrix.scores.shape == (2, 2)
    assert matrix.clips["label"].tolist() == ["normal", "anomaly"]
    assert matrix.clips["domain"].tolist() == ["source", "target"]


def test_an_import_lists_the_ledger_once_whatever_the_number_of_systems(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"S{number},fan,00,a.wav,{number}" for number in range(20)]
    path = write(tmp_path, "\n".join(["system,machine,id,clip,score", *rows]))
    whole = ledger.files.list
    listings: list[str] = []
    monkeypatch.setattr(
        ledger.files, "list", lambda folder, prefix="": listings.append(prefix) or whole(folder, prefix)
    )
    for stored in (20, 0):
        listings.clear()
        assert len(import_table(ledger, path).stored) == stored
        assert 0 < len([prefix for prefix in listings if not prefix]) < 20, "a commit looks for compact files alone"


BAD = """\
system,machine,id,clip,domain,split,label,score
A,fan,00,a.wav,source,test,normal,0.25
A,../etc,00,b.wav,source,test,normal,0.25
A,fan,,c.wav,source,test,normal,0.25

A,fan,00,d.wav,office,test,normal,0.25
A,fan,00,e.wav,source,eval,normal,0.25
A,fan,00,f.wav,source,test,broken,0.25
A,fan,00,g.wav,source,test,normal,high
A,fan,00,h.wav,source,test,normal,nan
A,fan,00,a.wav,source,test,normal,0.3
A,fan,00,i.wav,source,test
,fan,00,j.wav,source,test,normal,0.25
A,fan,00,k.wav,source,test,normal,1e39
"""


def test_all_problems_of_a_table_are_named_with_their_lines_and_nothing_is_stored(
    ledger: Ledger, run: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, BAD)
    with pytest.raises(AsdRayError) as refused:
        import_table(ledger, path)
    for expected in (
        f"{path} cannot be imported; nothing was stored",
        "line 3: the machine name '../etc'",
        "line 4: id is empty",
        "line 6: domain 'office'",
        "line 7: split 'eval'",
        "line 8: label 'broken'",
        "lines 9, 10, 14: the score is not a finite number",
        "line 11: the clip is in the table already",
        "line 12: 6 instead of 8 values",
        "line 13: system is empty",
    ):
        assert expected in str(refused.value)
    assert not run.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("system,machine,clip,score\nA,fan,a.wav,1\n", "column id or section or machine_id is missing .*--year"),
        ("system,machine,id,section,clip,score\nA,fan,1,1,a.wav,1\n", "columns id and section mean the same"),
        ("system,machine,id,clip,score\n", "no row"),
        ("", "not a CSV table"),
        ("\n\nsystem,machine,id,clip,score\nA,fan,00,a.wav,x\n", "line 4: the score is not a finite number"),
        ("system,machine,id,clip,score\nA,fan,00,a.wav,1_000\n", "line 2: the score is not a finite number"),
        ("system,machine,id,clip,score\nA,.fan,00,a.wav,1\n", "line 2: .* must not start with a dot.*; rename it"),
        ("system,machine,id,clip,score\nA,fan,0/0,a.wav,1\n", "line 2: the id name '0/0' must be 1 to 128"),
        (
            "system,machine,id,clip,score\nA,fan,00,a.wav,1\nA,fan,02,a.wav,1\n",
            "line 3: .*under another id; use the path below the machine's folder as clip",
        ),
        ("id_00_0.wav,0.5\nid_00_1.wav,0.6\n", "column system is missing"),
        (
            GOOD.replace("A,fan,02,b.wav", 'A,fan,02,"b.wav'),
            "line 3: 4 instead of 8 values .to line 5: is a quotation mark left open",
        ),
    ],
)
def test_tables_of_the_wrong_shape_are_refused(ledger: Ledger, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        import_table(ledger, write(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table.xlsx", b"PK", "ends in .csv"),
        ("table.parquet", b"not parquet", "not a Parquet file"),
        ("table.csv", "system,machine,id,clip,score\nA,fan,00,é.wav,1\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_files_of_the_wrong_format_are_refused(
    ledger: Ledger, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AsdRayError, match=message):
        import_table(ledger, tmp_path / name)
    with pytest.raises(AsdRayError, match="no such file"):
        import_table(ledger, tmp_path / "missing.csv")


def test_parquet_tables_join_too_and_numeric_ids_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    frame = pd.DataFrame({"system": "A", "machine": "fan", "id": ["00", "02"], "file": ["a", "b"], "score": [1.0, 2.0]})
    frame.astype({"machine": "category"}).to_parquet(tmp_path / "good.parquet")
    frame.assign(id=[0, 2]).to_parquet(tmp_path / "numbers.parquet")
    frame.assign(domain=[None, "source"], label=[0, 1]).to_parquet(tmp_path / "gaps.parquet")
    frame.assign(score=[1.0, None]).to_parquet(tmp_path / "missing.parquet")
    import_table(ledger, tmp_path / "good.parquet")
    assert candidate_matrix(ledger, "fan").scores.tolist() == [[1.0, 2.0]]
    with pytest.raises(AsdRayError, match="column 'id' is of type int64; store it as text, such as '00'"):
        import_table(ledger, tmp_path / "numbers.parquet")
    with pytest.raises(AsdRayError, match="row 2: the score is not a finite number"):
        import_table(ledger, tmp_path / "missing.parquet")
    import_table(ledger, tmp_path / "gaps.parquet")
    assert candidate_matrix(ledger, "fan").clips["domain"].tolist() == ["", "source"]
    assert candidate_matrix(ledger, "fan").clips["label"].tolist() == ["normal", "anomaly"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_export_imports_to_the_same_scores(filled: Ledger, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"all{suffix}"
    assert export_table(filled, path) == Exported(5, 5 * 24)
    other = Ledger(tmp_path / "other")
    import_table(other, path)
    for split in ("train", "test"):
        ours, theirs = candidate_matrix(filled, "fan", split), candidate_matrix(other, "fan", split)
        pd.testing.assert_frame_equal(ours.clips, theirs.clips)
        assert ours.candidates["name"].tolist() == theirs.candidates["name"].tolist()
        assert ours.candidates["variant"].tolist() == theirs.candidates["variant"].tolist()
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_exports_are_chosen_by_machine_family_split_status_and_variant(ledger: Ledger, trial, tmp_path: Path) -> None:
    for machine in ("fan", "pump"):
        for family in ("ae", "idnn"):
            ledger.commit(*trial(machine=machine, family=family))
    ledger.commit(*trial(1, status="pruned"))
    path = tmp_path / "out" / "some.parquet"
    choices = {"machine": "fan", "family": "ae", "splits": ["test"], "best_variants": True}
    assert export_table(ledger, path, **choices) == Exported(1, 8)
    table = pq.read_table(path).to_pandas()
    assert set(table["variant"]) == {"mse"}
    assert set(table["split"]) == {"test"}
    assert export_table(ledger, path, statuses=["pruned"], splits=["test"]).trials == 1


def test_trials_of_one_name_get_their_hash_in_an_export(ledger: Ledger, trial, tmp_path: Path) -> None:
    for number in range(2):
        ledger.commit(*trial(number, name="same"))
    export_table(ledger, tmp_path / "all.csv")
    other = Ledger(tmp_path / "other")
    assert len(import_table(other, tmp_path / "all.csv").stored) == 2


def test_an_export_that_cannot_be_written_leaves_the_old_one(filled: Ledger, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="ends in .csv or .parquet"):
        export_table(filled, tmp_path / "all.xlsx")
    (tmp_path / "file").write_text("x")
    with pytest.raises(AsdRayError, match="cannot write the export"):
        export_table(filled, tmp_path / "file" / "all.csv")


@needs_golden
def test_official_submissions_join_with_labels_and_score_as_published(ledger: Ledger) -> None:
    import json

    from asd_ray.metrics import auc

    expected = json.loads((GOLDEN / "expected.json").read_text())["systems"]
    for system in sorted(path.name for path in (GOLDEN / "submissions").iterdir()):
        report = import_submission(ledger, GOLDEN / "submissions" / system, 2020, GOLDEN / "ground_truth")
        assert report.rows == 7103
    assert len(ledger.records()) == 4 * 6
    matrix = candidate_matrix(ledger, "fan")
    assert matrix.scores.shape == (4, 1342)
    for row, system in enumerate(matrix.candidates["name"]):
        for id, numbers in expected[system]["machines"]["fan"]["ids"].items():
            of_id, scores = (matrix.clips["id"] == id).to_numpy(), matrix.scores[row]
            assert auc(matrix.clips["label"][of_id], scores[of_id]) == pytest.approx(numbers["auc"], abs=1e-6)


@needs_golden
def test_a_submission_imported_again_with_truth_gains_its_labels(ledger: Ledger) -> None:
    folder = GOLDEN / "submissions" / "Haunschmid_CPJKU_task2_1"
    import_submission(ledger, folder, 2020)
    assert set(candidate_matrix(ledger, "pump").clips["label"]) == {"unknown"}
    assert len(import_submission(ledger, folder, 2020, GOLDEN / "ground_truth").stored) == 6
    assert len(import_submission(ledger, folder, 2020).present) == 6, "what knows less replaces nothing"
    matrix = candidate_matrix(Ledger(ledger.layout), "pump")
    assert len(matrix.scores) == 1
    assert set(matrix.clips["label"]) == {"normal", "anomaly"}


def test_a_broken_submission_is_refused_with_all_its_problems(ledger: Ledger, run: Path, tmp_path: Path) -> None:
    (tmp_path / "anomaly_score_fan_id_01.csv").write_text("id_01_00000000.wav,high\n")
    (tmp_path / "anomaly_scores_fan_id_03.csv").write_text("id_03_00000000.wav,1\n")
    with pytest.raises(AsdRayError) as refused:
        import_submission(ledger, tmp_path, 2020)
    assert "anomaly_score_fan_id_01.csv" in str(refused.value)
    assert "anomaly_scores_fan_id_03.csv is misnamed" in str(refused.value)
    assert not run.exists()


def test_a_table_of_many_batches_is_written_whole(filled: Ledger, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("asd_ray.ledger.exporting.BATCH", 10)
    export_table(filled, tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.schema.field("id").type == pa.string()
    assert len(table) == 5 * 24


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
