from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.cli.ledger import VERBS, main
from asd_ray.ledger import Ledger
from asd_ray.ledger.trial_file import encode

from ..ledger import conftest as ledgers

# The fixtures of tests/ledger. They stay in this file: other commands have a `record` that writes a recording.
run, ledger, filled = ledgers.run, ledgers.ledger, ledgers.filled
record, trial = ledgers.record, ledgers.trial

TABLE = "system,machine,id,clip,label,score\nA,fan,00,a.wav,0,0.25\nA,fan,00,b.wav,1,0.5\n"


def test_ls_shows_trials_and_counts_them(filled: Ledger, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", str(run), "--limit", "2", "--sort", "objective"]) == 0
    out = capsys.readouterr().out
    assert "fan-ae-0004" in out
    assert "0.5040" in out
    assert "fan-ae-0001" not in out
    assert "and 4 more" in out
    assert "6 trials (5 complete, 1 failed); machines: 1, families: 1" in out


def test_ls_json_is_all_records(filled: Ledger, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", str(run), "--json", "--status", "failed"]) == 0
    [record] = json.loads(capsys.readouterr().out)
    assert (record["name"], record["error"], record["objective"]) == ("fan-ae-0005", "out of memory", None)
    assert main(["ls", str(run), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--machine", "fam"], "unknown machine 'fam'; did you mean 'fan'?"),
        (["--machine", "fan", "--family", "ea"], "unknown family 'ea'"),
        (["--family", "aee"], "unknown family 'aee'; did you mean 'ae'?"),
    ],
)
def test_a_mistyped_machine_or_family_is_named_before_anything_is_written(
    filled: Ledger, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("mine")
    for act in (["ls", str(run)], ["export", str(run), str(table)]):
        assert main([*act, *arguments]) == 2
        assert message in capsys.readouterr().err
    assert table.read_text() == "mine"


def test_an_export_leaves_out_what_is_broken_and_says_how_much(
    filled: Ledger, run: Path, record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(filled.layout.trial_file("fan", "ae", record(2).trial))
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    failed = record(2, status="failed", objective=None, variant="")
    Path(filled.layout.trial_file("fan", "ae", failed.trial, "failed")).write_bytes(bytes(encode([(failed, {})])))
    assert main(["export", str(run), str(tmp_path / "all.csv")]) == 0
    out = capsys.readouterr().out
    assert "96 scores of 4 trials" in out
    assert "1 trials were left out" in out


def test_an_export_to_an_address_is_refused(
    filled: Ledger, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["export", str(run), "s3://bucket/all.csv"]) == 2
    assert "s3:/bucket/all.csv: an export is a file on a local disk; name one" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_show_finds_a_trial_by_name_or_hash(
    filled: Ledger, run: Path, record, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = record(3)
    for text in (wanted.name, wanted.trial, wanted.trial[:8]):
        assert main(["show", str(run), text]) == 0
        out = capsys.readouterr().out
        assert wanted.trial in out
        assert "\n  lr  " in out
        assert " 0.004 " in out
        assert "mahala" in out
    assert main(["show", str(run), wanted.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["number"] == 3
    assert main(["show", str(run), "fan-ae-0005"]) == 0
    assert "no scores" in capsys.readouterr().out


def test_show_says_what_a_name_may_mean(filled: Ledger, run: Path, trial, capsys: pytest.CaptureFixture[str]) -> None:
    filled.commit(*trial(3, machine="pump", name="fan-ae-0003"))
    assert main(["show", str(run), "fan-ae-0003"]) == 2
    assert "machine pump" in capsys.readouterr().err
    assert main(["show", str(run), "fan-ae-0003", "--machine", "pump"]) == 0
    assert main(["show", str(run), "nothing"]) == 2
    assert "no trial is named 'nothing'" in capsys.readouterr().err


def test_verify_exits_1_once_and_says_what_it_did(
    filled: Ledger, run: Path, record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(run)]) == 0
    out = capsys.readouterr().out
    assert "checked 6 files (0 of them compact), every row: 120 scores" in out
    assert "5 complete, 1 failed" in out
    path = Path(filled.layout.trial_file("fan", "ae", record(2).trial))
    path.write_bytes(b"half")
    assert main(["verify", str(run)]) == 1
    out = capsys.readouterr().out
    assert str(path) in out
    assert "1 set aside, 0 problems" in out
    assert main(["verify", str(run)]) == 0


def test_import_export_and_compact_report_what_they_did(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_text(TABLE + TABLE.replace("A,", "B,").partition("\n")[2])
    assert main(["import", str(run), str(tmp_path / "table.csv")]) == 0
    assert "4 scores read; 2 trials stored, 0 were there already" in capsys.readouterr().out
    assert main(["export", str(run), str(tmp_path / "out.csv"), "--split", "test"]) == 0
    assert "4 scores of 2 trials" in capsys.readouterr().out
    assert main(["compact", str(run)]) == 0
    assert "2 trials in 1 new files, 2 old files removed" in capsys.readouterr().out
    assert main(["import", str(run), str(tmp_path / "out.csv")]) == 0
    assert "0 trials stored, 2 were there already" in capsys.readouterr().out


def test_a_table_is_imported_with_its_year(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    assert main(["import", str(run), str(tmp_path / "table.csv"), "--year", "2022"]) == 0
    assert main(["ls", str(run), "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out.partition("\n[")[2].join(["[", ""]))
    assert record["settings"]["year"] == 2022


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "{empty}"], "no run here"),
        (["verify", "{empty}/none"], "no run here"),
        (["import", "{empty}", "{empty}/none.csv"], "no such file"),
        (["import", "{empty}", "{empty}"], "the DCASE year of these submission files is needed"),
        (["import", "{empty}", "{table}", "--truth", "{empty}"], "not a folder"),
        (["import", "{empty}", "{table}", "--year", "2019"], "unknown year '2019'; did you mean"),
        (["import", "{empty}", "{empty}", "--year", "2020", "--truth", "{table}"], "is a file; name its folder"),
        (["ls", "gs://bucket/run"], "gs:// is not read"),
    ],
)
def test_mistakes_exit_2_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text(TABLE)
    places = {"empty": tmp_path / "empty", "table": tmp_path / "table.csv"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    assert message in capsys.readouterr().err


def test_every_help_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(VERBS) == 8
    for arguments in ([], *([verb] for verb in VERBS)):
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out.rstrip().rpartition("examples:\n")[2]
        last = text.replace(" \\\n     ", "").splitlines()
        assert all(line.startswith("  asd-ray ledger ") for line in last)
        assert last


def test_help_loads_no_heavy_package_and_listing_none_that_the_floor_forbids(filled: Ledger, run: Path) -> None:
    code = """
import sys
from asd_ray.cli.ledger import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    forbidden = {"torch", "torchaudio", "ray", "optuna", "scipy", "sklearn"}
    for arguments, more in (
        (["--help"], {"pandas", "pyarrow", "rich"}),
        (["ls", str(run)], set()),
        (["verify", str(run)], set()),
    ):
        out = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        ).stdout
        loaded = set(out.rpartition("loaded:")[2].split())
        assert "asd_ray" in loaded
        assert not loaded & (forbidden | more)
