"""The report of a run some of whose ensemble files cannot be read: these are named, the rest is reported."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from asd_ray.ensemble import main
from asd_ray.ensembling import build, load, read, stored, write
from asd_ray.ensembling.recipe import Recipe
from asd_ray.reporting import gather
from tests.ensembling.conftest import make_ledger
from tests.ensembling.test_hostile_files import DEEP, QUICK, put
from tests.hostile import Verbs, bounded, unharmed


def test_the_report_leaves_out_what_it_cannot_read_and_names_it(tmp_path: Path, verbs: Verbs) -> None:
    run = make_ledger(tmp_path / "run", strength=0.4)
    make_ledger(tmp_path / "run", machine="pump", strength=0.4)
    for machine in ("fan", "pump"):
        made = build(load(run, machine), Recipe("three", "top_k", k=3), QUICK)
        write(run, made)
        write(run, made, final=True)
    folder = tmp_path / "run" / "ensembles"
    good = json.loads((folder / "fan" / "three.json").read_text())
    (folder / "fan" / "deep.json").write_text("[" * DEEP)
    (folder / "fan" / "typed.json").write_text(json.dumps(put(good, ("metrics", "oracle", "value"), "x")))
    (folder / "fan" / "moved.json").write_text(json.dumps(put(good, ("machine",), "valve")))
    (folder / "pump" / "final.json").write_text(json.dumps(put(good, ("threshold", "value"), math.nan)))
    (folder / "README.json").mkdir()
    os.mkfifo(folder / "fan" / "pipe.json")
    with unharmed(tmp_path), bounded(seconds=60, gib=2):
        answer = verbs("report", "--run", tmp_path / "run")
    assert answer.status == 1
    for word in (
        "deep.json: this is no JSON (brackets are nested more than 50 deep)",
        "pipe.json: this is not a file; remove it",
        "typed.json: metrics/oracle/value must be a number",
        "moved.json: machine is 'valve', but the file is in the folder of fan",
        "pump/final.json: this is no JSON (NaN is no number of JSON)",
    ):
        assert answer.text.count(word) == 1
        assert (word in answer.err) == word.startswith("pump/final.json"), "else it is a note"
    facts = json.loads((tmp_path / "run/report/report.json").read_text())
    assert set(facts["machines"]) == {"fan"}
    assert (len(facts["left_out"]), len(facts["not_read"])) == (1, 4)
    assert "deep.json" in (tmp_path / "run/report/report.html").read_text()
    assert "typed.json" in (tmp_path / "run/report/report.md").read_text()

    (folder / "fan" / "final.json").write_text("{}")
    words = ("no ensembles to report on", "final.json: the format is None but must be 'asd_ray-ensemble/1'")
    verbs.refused("report", "--run", tmp_path / "run", lines=16, words=words)
    verbs.refused("report", "--run", tmp_path / "run", "--submission", tmp_path / "ours", words=("final.json",))
    assert sorted(stored(run).unreadable["fan"]) == ["deep", "final", "moved", "pipe", "typed"]
    assert main(["pump", "--run", str(tmp_path / "run"), "--recipe", "best_single"]) == 0  # in the broken one's place
    assert (folder / "pump" / "final.json.unreadable").is_file()
    assert read(folder / "pump" / "final.json").machine == "pump"


def test_stray_files_are_notes_and_copies_of_folders_no_ensembles(tmp_path: Path, verbs: Verbs) -> None:
    run = make_ledger(tmp_path / "run", strength=0.4)
    write(run, build(load(run, "fan"), Recipe("three", "top_k", k=3), QUICK), final=True)
    folder = tmp_path / "run" / "ensembles"
    (folder / "fan" / "notes.json").write_text("{}")
    (folder / "final.json").write_text("{}")
    (folder / "old" / "fan").mkdir(parents=True)
    (folder / "old" / "fan" / "final.json").write_text("{}")
    answer = verbs("report", "--run", tmp_path / "run")
    assert (answer.status, answer.err) == (0, "")
    assert "note: not read: " in answer.out
    assert answer.out.count("notes.json: the format is None") == 1
    assert verbs("ensemble", "fan", "--run", tmp_path / "run", "--recipe", "best_single").status == 0


def test_the_report_notes_a_file_that_was_changed(tmp_path: Path) -> None:
    run = make_ledger(tmp_path / "run", strength=0.4)
    path = Path(write(run, build(load(run, "fan"), Recipe("three", "top_k", k=3), QUICK), final=True))
    note = "the ensemble file was changed after it was written"
    assert not any(note in each for each in gather(run)["machines"]["fan"]["notes"])
    path.write_text(json.dumps(put(json.loads(path.read_text()), ("metrics", "crossval", "value"), 0.99)))
    assert any(note in each for each in gather(run)["machines"]["fan"]["notes"])
