from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, candidate_matrix, compact, import_submission, import_table

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
