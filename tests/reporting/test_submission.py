from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray import evaluate
from asd_ray.ensembling import EnsembleConfig, build, finals, find_recipe, load, scores_of, write
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.metrics.editions import EDITIONS, scored_editions
from asd_ray.reporting.submission import write_submission
from asd_ray.reporting.submission_check import check_submission

SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not SHARED.is_dir(), reason="the golden data are not beside the project")
YEARS = [edition.year for edition in scored_editions()]
CLIPS = 10  # of each domain and label


def clips_of(machine: str, id: str, year: int, *, development: bool = False) -> pd.DataFrame:
    """Test clips of one id or section, named as in the evaluation set or in the development set."""
    rows = []
    for domain in [""] if year == 2020 else ["source", "target"]:
        for label in ("normal", "anomaly"):
            for number in range(CLIPS):
                at = number + CLIPS * (label == "anomaly")
                if year == 2020:
                    name = f"{label}_" * development + f"id_{id}_{at:08d}.wav"
                elif year == 2021:
                    name = f"section_{id}_{domain}_test_" + f"{label}_" * development + f"{at:04d}.wav"
                elif development:
                    name = f"section_{id}_{domain}_test_{label}_{number:04d}_vel_1.wav"
                else:
                    name = f"section_{id}_{at + 2 * CLIPS * (domain == 'target'):04d}.wav"
                rows.append((name, id, domain, "test", label))
    rows += [(f"train_{id}_{number}.wav", id, "", "held_out", "normal") for number in range(8)]
    return pd.DataFrame(rows, columns=["clip", "id", "domain", "split", "label"]).assign(machine=machine)


def commit(ledger: Ledger, clips: pd.DataFrame, year: int | None, *, trials: int = 2) -> None:
    for machine, own in clips.groupby("machine"):
        for number in range(trials):
            draw = np.random.default_rng([number, len(str(machine))])
            scores = draw.normal(size=len(own)) + (own["label"] == "anomaly").to_numpy() * (1 + number)
            record = TrialRecord(
                trial=trial_hash(number=number, machine=machine),
                name=f"{machine}-own-{number:04d}",
                machine=str(machine),
                family="own",
                number=number,
                variant="mse",
                objective=0.5,
                dataset="made",
                settings=Settings(year=year),
            )
            ledger.commit(record, long_scores(own, {"mse": scores}))


def choose(ledger: Ledger, *machines: str) -> None:
    [recipe, *_] = find_recipe("top_k").ways()
    for machine in machines or sorted({record.machine for record in ledger.records()}):
        write(ledger, build(load(ledger, machine), recipe, EnsembleConfig(repeats=1, folds=2, draws=20)), final=True)


MakeRun = Callable[..., Ledger]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A run with an ensemble for each of two machines, of two ids each."""

    def make(year: int, *, development: bool = False, stored_year: int | None = -1) -> Ledger:
        ledger = Ledger(tmp_path / "run")
        parts = [
            clips_of(machine, id, year, development=development) for machine in ("fan", "pump") for id in ("03", "05")
        ]
        commit(ledger, pd.concat(parts), year if stored_year == -1 else stored_year)
        choose(ledger)
        return ledger

    return make


def write_truth(ledger: Ledger, folder: Path, year: int) -> None:
    every = {machine: scores_of(ledger, ensemble) for machine, ensemble in finals(ledger).items()}
    for machine, clips in every.items():
        clips = clips[clips["split"] == "test"].assign(one=lambda rows: (rows["label"] == "anomaly").astype(int))
        if year == 2020:
            folder.mkdir(exist_ok=True)
            lines = [machine, *(f"{clip},{clip},{one}" for clip, one in zip(clips["clip"], clips["one"], strict=True))]
            with (folder / "eval_data_list.csv").open("a") as file:
                file.write("\n".join(lines) + "\n")
            continue
        for (id, *domain), rows in clips.groupby(["id", "domain"] if year == 2021 else ["id"]):
            name = f"ground_truth_{machine}_section_{'_'.join([id, *domain])}_test.csv"
            target = (rows["domain"] == "target").astype(int)
            for part, values in (("data", rows["one"]), ("domain", target)):
                (folder / f"ground_truth_{part}").mkdir(parents=True, exist_ok=True)
                pd.concat([rows["clip"], values], axis=1).to_csv(
                    folder / f"ground_truth_{part}" / name, header=False, index=False
                )


@pytest.mark.parametrize("year", YEARS)
def test_what_is_written_is_evaluated_to_the_very_cells_of_the_ensembles(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], year: int
) -> None:
    ledger = make_run(year)
    folder = tmp_path / "submissions" / "ours"
    written = write_submission(ledger, folder)
    assert (written.year, written.clips, written.notes) == (year, 4 * 2 * CLIPS * (1 if year == 2020 else 2), [])
    kinds = {2020: 1, 2021: 4}.get(year, 2)
    assert sorted(path.name for path in folder.iterdir()) == written.files
    assert len(written.files) == 4 * kinds
    write_truth(ledger, tmp_path / "truth", year)
    capsys.readouterr()
    given = ["--year", str(year), "--truth", str(tmp_path / "truth"), "--submission", str(folder), "--json"]
    assert evaluate.main(given) == 0
    machines = json.loads(capsys.readouterr().out)["machines"]
    for machine, ensemble in finals(ledger).items():
        for cell, value in ensemble.metrics["oracle"].cells.items():
            unit, _, name = cell.partition("/")
            assert machines[machine]["ids" if year == 2020 else "sections"][unit][name] == pytest.approx(
                value, abs=1e-12
            )
    checked = check_submission(folder, year, ledger)
    assert checked == ([], [], len(written.files), written.clips)


def test_decisions_are_those_of_the_ensembles_threshold_and_rows_are_in_order(
    make_run: MakeRun, tmp_path: Path
) -> None:
    ledger = make_run(2023)
    write_submission(ledger, tmp_path / "ours")
    chosen = finals(ledger)["fan"]
    scores = scores_of(ledger, chosen).set_index("clip")["score"]
    for kind, expected in (("anomaly_score", scores), ("decision_result", scores > chosen.threshold.value)):
        path = tmp_path / "ours" / f"{kind}_fan_section_03_test.csv"
        rows = [line.split(",") for line in path.read_text().splitlines()]
        assert [name for name, _ in rows] == sorted(name for name, _ in rows)
        assert all(float(value) == expected[name] for name, value in rows), "exact: a score is read back the same"
        assert {value for _, value in rows} == {"0", "1"} or kind == "anomaly_score"


def test_the_year_is_asked_for_where_the_dataset_has_none(make_run: MakeRun, tmp_path: Path) -> None:
    ledger = make_run(2020, stored_year=None)
    with pytest.raises(AsdRayError, match="fan, pump: the dataset has no DCASE year.*--year 2020"):
        write_submission(ledger, tmp_path / "ours")
    assert write_submission(ledger, tmp_path / "ours", year=2020).year == 2020
    with pytest.raises(AsdRayError, match="the official score of 2026 is not known"):
        write_submission(ledger, tmp_path / "other", year=2026)


def test_a_year_whose_files_are_not_known_yet_is_reported(make_run: MakeRun, tmp_path: Path) -> None:
    ledger = make_run(2025, stored_year=2026)
    with pytest.raises(AsdRayError, match="files of 2026 are not known; to name them as in another year: --year 2025"):
        write_submission(ledger, tmp_path / "ours")
    assert len(write_submission(ledger, tmp_path / "ours", year=2025).files) == 8


def test_clips_without_official_names_are_refused_all_at_once(make_run: MakeRun, tmp_path: Path) -> None:
    ledger = make_run(2020)
    with pytest.raises(AsdRayError) as refused:
        write_submission(ledger, tmp_path / "ours", year=2023)
    for machine in ("fan", "pump"):
        assert f"{machine}: 40 of 40 test clips have no official name of 2023" in str(refused.value)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A0.wav", "+1.wav", "-1.wav", "@sum.wav"])
@pytest.mark.parametrize("year", [2020, 2021, 2022, 2023])
def test_no_clip_of_a_submission_begins_as_a_formula(tmp_path: Path, year: int, name: str) -> None:
    ledger, clips = Ledger(tmp_path / "run"), clips_of("fan", "00", year)
    clips.loc[0, "clip"] = name
    commit(ledger, clips, year, trials=1)
    choose(ledger)
    with pytest.raises(AsdRayError, match="1 of .* test clips have no official name"):
        write_submission(ledger, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_machines_of_several_years_need_a_year(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    for machine, year in (("fan", 2022), ("Vacuum", 2023)):
        commit(ledger, clips_of(machine, "00", 2023), year)
    choose(ledger)
    with pytest.raises(AsdRayError, match=r"several years \(Vacuum 2023, fan 2022\).*--year"):
        write_submission(ledger, tmp_path / "ours")
    assert write_submission(ledger, tmp_path / "ours", year=2023).clips == 2 * 4 * CLIPS


def test_names_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    commit(ledger, clips_of("my_fan", "00", 2023), 2023)
    commit(ledger, clips_of("fan", "00", 2023).assign(id="01"), 2023)
    choose(ledger)
    with pytest.raises(AsdRayError) as refused:
        write_submission(ledger, tmp_path / "ours")
    rule = "it cannot be part of a file name, since official machine names have no underscore"
    assert f"my_fan: {rule}" in str(refused.value)
    assert "fan: 40 of 40 test clips have no official name of 2023 and their id" in str(refused.value)


def test_only_the_evaluation_set_is_written_where_there_is_one(make_run: MakeRun, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    parts = [clips_of("fan", "00", 2022, development=True), clips_of("fan", "03", 2022), clips_of("pump", "01", 2022)]
    commit(ledger, pd.concat(parts), 2022)
    choose(ledger, "fan")
    written = write_submission(ledger, tmp_path / "ours")
    assert written.files == ["anomaly_score_fan_section_03_test.csv", "decision_result_fan_section_03_test.csv"]
    assert f"{4 * CLIPS} development clips are left out, as the run has an evaluation set: fan 00" in written.notes
    cure = f"run: asd-ray ensemble pump --run {tmp_path / 'run'}"
    assert f"pump: no ensemble was chosen, so it is left out; {cure}" in written.notes


def test_development_clips_alone_are_written_with_a_note(make_run: MakeRun, tmp_path: Path) -> None:
    ledger = make_run(2021, development=True)
    written = write_submission(ledger, tmp_path / "ours")
    assert written.clips == 4 * 4 * CLIPS
    assert ["development clips" in note for note in written.notes] == [True]
    assert check_submission(tmp_path / "ours", 2021, ledger).problems == []


def test_a_run_without_ensembles_says_what_to_do(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    commit(ledger, clips_of("fan", "00", 2023), 2023)
    with pytest.raises(AsdRayError, match="no ensemble was chosen yet; run: asd-ray ensemble --run"):
        write_submission(ledger, tmp_path / "ours")


def test_a_folder_gives_way_only_to_the_same_files(make_run: MakeRun, tmp_path: Path) -> None:
    ledger, folder = make_run(2023), tmp_path / "ours"
    folder.mkdir()
    first = write_submission(ledger, folder)
    (folder / first.files[0]).write_text("half")
    write_submission(ledger, folder)
    assert check_submission(folder, 2023, ledger).problems == []
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(
        AsdRayError, match="ours holds files that this submission does not: notes.txt; name a new or an empty"
    ):
        write_submission(ledger, folder)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AsdRayError, match="file is a file; a submission is a folder"):
        write_submission(ledger, tmp_path / "file")
    with pytest.raises(AsdRayError, match="a folder on a local disk"):
        write_submission(ledger, "s3://bucket/ours")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


@pytest.mark.parametrize("when", ["writing", "renaming"])
def test_a_full_disk_leaves_the_folder_as_it_was(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    ledger, folder = make_run(2023), tmp_path / "ours"
    write_submission(ledger, folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    real = os.rename

    def full(*given: object, **_: object) -> None:
        if when == "writing" or ".tmp" in str(given[0]):
            raise OSError(28, "No space left on device")
        real(*given)  # type: ignore[arg-type]

    target = "pathlib.Path.write_text" if when == "writing" else "os.rename"
    monkeypatch.setattr(target, full)
    with pytest.raises(AsdRayError, match="cannot be written .No space left on device.; its old content is unchanged"):
        write_submission(ledger, folder)
    monkeypatch.undo()
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


def test_everything_wrong_with_a_foreign_folder_is_named_at_once(make_run: MakeRun, tmp_path: Path) -> None:
    ledger, folder = make_run(2022), tmp_path / "ours"
    write_submission(ledger, folder)

    def rewrite(name: str, change: Callable[[list[str]], list[str]]) -> None:
        path = folder / f"{name}_test.csv"
        path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))

    (folder / "decision_result_pump_section_05_test.csv").unlink()
    (folder / "anomaly_score_pump_section_05_test.csv").rename(folder / "anomaly_score_pump_sec_05_test.csv")
    rewrite("anomaly_score_fan_section_03", lambda rows: [*rows[2:], rows[5], "section_03_9999.wav,1"])
    rewrite("decision_result_fan_section_03", lambda rows: ["section_03_0000.wav,2", *rows[1:]])
    rewrite(
        "anomaly_score_fan_section_05", lambda rows: ["section_05_0000.wav,nan", "section_05_0001.wav,x", *rows[2:]]
    )
    rewrite("decision_result_fan_section_05", lambda rows: [f"{rows[0]},extra", *rows[1:]])
    rewrite("decision_result_pump_section_03", lambda rows: rows[::-1])
    checked = check_submission(folder, 2022, ledger)
    text = "\n".join(checked.problems)
    for expected in (
        "anomaly_score_pump_sec_05_test.csv is misnamed",
        "anomaly_score_pump_section_05_test.csv is missing; is it anomaly_score_pump_sec_05_test.csv?",
        "decision_result_pump_section_05_test.csv is missing",
        "anomaly_score_fan_section_03_test.csv lists 1 clip(s) more than once: section_03_0005.wav",
        "anomaly_score_fan_section_03_test.csv lacks 2 of 40 clips: section_03_0000.wav, section_03_0001.wav",
        "anomaly_score_fan_section_03_test.csv names 1 clip(s) that",
        "decision_result_fan_section_03_test.csv line 1 has the value '2', which is neither 0 nor 1",
        "anomaly_score_fan_section_05_test.csv line 1 has the value 'nan', which is not finite",
        "anomaly_score_fan_section_05_test.csv line 2 has a value that is not a number",
        "decision_result_fan_section_05_test.csv line 1 has 3 column(s) instead of 2",
    ):
        assert expected in text
    assert [note.partition(":")[0] for note in checked.notes] == [
        "2 file(s) are not sorted by clip name; the evaluators sort them"
    ]


def test_files_of_machines_that_the_run_lacks_are_noted(make_run: MakeRun, tmp_path: Path) -> None:
    ledger, folder = make_run(2020), tmp_path / "ours"
    write_submission(ledger, folder)
    (folder / "anomaly_score_valve_id_01.csv").write_text("id_01_00000000.wav,1\n")
    checked = check_submission(folder, 2020, ledger)
    assert checked.problems == []
    assert checked.notes == [f"anomaly_score_valve_id_01.csv is ignored: {ledger.layout.root} has no clips of it"]


def official(folder: Path, year: int) -> None:
    """A whole submission of a year, of two clips a file."""
    folder.mkdir()
    for machine, ids in EDITIONS[year].evaluation.items():
        for id in ids:
            for domain in ("source_", "target_") if year == 2021 else ("",):
                cell = f"id_{id}" if year == 2020 else f"section_{id}_{domain}test"
                clip = {2020: f"id_{id}_0000000", 2021: f"section_{id}_{domain}test_000"}.get(year, f"section_{id}_000")
                for kind in ("anomaly_score", "decision_result")[: 1 if year == 2020 else 2]:
                    (folder / f"{kind}_{machine}_{cell}.csv").write_text(f"{clip}0.wav,0\n{clip}1.wav,1\n")


@pytest.mark.parametrize("year", YEARS)
def test_without_a_run_the_evaluation_set_of_the_year_is_expected(tmp_path: Path, year: int) -> None:
    folder = tmp_path / "theirs"
    official(folder, year)
    assert check_submission(folder, year).problems == []
    first, second, *_ = sorted(folder.glob("anomaly_score*"))
    first.unlink()
    second.write_text("id_99_00000000.wav,1\nsection_99_0000.wav,2\n")
    problems = check_submission(folder, year).problems
    text = "\n".join(problems)
    assert len(problems) == (2 if year == 2020 else 3)
    assert f"{first.name} is missing" in text
    assert f"{second.name} names 2 clip(s) that do not belong to it: id_99_00000000.wav, section_99_0000.wav" in text
    if year > 2020:
        assert f"{second.name} lacks 2 of 2 clips" in text, "its decisions tell which clips there are"


def test_score_and_decision_files_must_name_the_same_clips(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    official(folder, 2022)
    path = folder / "decision_result_fan_section_04_test.csv"
    path.write_text("section_04_test_0000.wav,0\n")  # as the README of that year names it
    [problem] = check_submission(folder, 2022).problems
    assert problem == f"{path.name} lacks 1 of 2 clips: section_04_0001.wav"


def test_other_machines_are_checked_for_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    official(folder, 2023)
    (folder / "anomaly_score_fan_section_00_test.csv").write_text("section_00_0000.wav,0\n")
    checked = check_submission(folder, 2023)
    assert [problem.partition(" (")[0] for problem in checked.problems] == [
        "decision_result_fan_section_00_test.csv is missing"
    ]
    assert checked.notes == ["not in the evaluation set of 2023, checked only against each other: fan 00"]


def test_a_folder_of_other_machines_or_years_is_reported_once(tmp_path: Path) -> None:
    official(tmp_path / "theirs", 2024)
    [problem] = check_submission(tmp_path / "theirs", 2023).problems
    assert "no file has a machine of 2023's evaluation set (bandsaw, grinder" in problem
    official(tmp_path / "old", 2020)
    [problem] = check_submission(tmp_path / "old", 2023).problems
    assert "18 file(s) are named as in 2020, not as in 2023" in problem


@needs_golden
def test_real_and_golden_submissions_are_as_they_should_be() -> None:
    folders = sorted(SHARED.glob("dcase20*/submissions/*"))
    assert len(folders) == 6
    for folder in folders:
        checked = check_submission(folder, int(folder.parts[-3].removeprefix("dcase")))
        assert checked.problems == []
        assert checked.clips in (7103, 1810)
