"""A year that does not exist yet: one object in the table, and every part of the product knows it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray import evaluate
from asd_ray.clips.scan import scan
from asd_ray.ensembling import EnsembleConfig, build, finals, find_recipe, load, scores_of, write
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.metrics import EDITIONS, Edition, auc, cells_batch, evaluable_clips, official_score, read_truth
from asd_ray.metrics.editions import PER_DOMAIN, ClipNames, SubmissionFiles
from asd_ray.reporting.submission import write_submission
from asd_ray.reporting.submission_check import check_submission

MACHINES = ("loom", "windmill")
LABELS = ("normal", "anomaly")
DOMAINS = ("source", "target")


def smallest_cell(cells: Sequence[dict[str, float]]) -> float:
    return min(cell[name] for cell in cells for name in PER_DOMAIN.names)


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Edition:
    edition = replace(
        EDITIONS[2025],
        year=2099,
        development=dict.fromkeys(("crane",), ("00",)),
        evaluation=dict.fromkeys(MACHINES, ("07", "08")),
        folders={"train": "train", "listen": "test"},
        example="dev_data/crane/listen/section_00_source_test_normal_0000.wav",
        cells=PER_DOMAIN,
        definition="the smallest cell",
        official_score=smallest_cell,
        prints_interval=False,
        prints_paper_table=False,
        files=SubmissionFiles("{machine}-{id}-{domain}-{kind}.csv", export=None),
        clips=ClipNames(
            re.compile(r"section_(?P<id>\d\d)_(?P<domain>source|target)_test_(?P<label>)\d{4}\.wav"),
            "section_{id}_{domain}_test_0000.wav",
        ),
        truth_folders=(),
    )
    monkeypatch.setitem(EDITIONS, 2099, edition)
    return edition


def clips() -> pd.DataFrame:
    rows = [
        (machine, id, domain, f"section_{id}_{domain}_test_{number:04d}.wav", LABELS[number % 2])
        for machine in MACHINES
        for id in ("07", "08")
        for domain in DOMAINS
        for number in range(16)
    ]
    return pd.DataFrame(rows, columns=["machine", "id", "domain", "clip", "label"]).assign(split="test")


def write_truth(folder: Path) -> Path:
    folder.mkdir()
    lines = []
    for machine, own in clips().groupby("machine"):
        long = own["clip"].str.replace(".wav", "") + "_" + own["domain"] + "_" + own["label"] + ".wav"
        lines += [str(machine), *(f"{name},{full}" for name, full in zip(own["clip"], long, strict=True))]
    (folder / "eval_data_list.csv").write_text("\n".join(lines))
    return folder


def ledger_with_ensembles(root: Path) -> Ledger:
    ledger = Ledger(root)
    for machine, own in clips().groupby("machine"):
        normal = own.assign(clip="train_" + own["clip"], split="held_out", label="normal")
        every = pd.concat([own, normal], ignore_index=True)
        for number in range(2):
            noise = np.random.default_rng([number, len(str(machine))]).normal(size=len(every))
            record = TrialRecord(
                trial=trial_hash(number=number, machine=machine),
                name=f"{machine}-own-{number:04d}",
                machine=str(machine),
                family="own",
                variant="mse",
                dataset="dcase2099",
                settings=Settings(year=2099),
            )
            ledger.commit(record, long_scores(every, {"mse": noise + 2 * (every["label"] == "anomaly")}))
        [recipe, *_] = find_recipe("top_k").ways()
        write(
            ledger, build(load(ledger, str(machine)), recipe, EnsembleConfig(repeats=1, folds=2, draws=20)), final=True
        )
    return ledger


def test_its_recordings_are_scanned_and_labelled(invented: Edition, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for machine, clip in clips()[["machine", "clip"]].itertuples(index=False):
        (root / machine / "listen").mkdir(parents=True, exist_ok=True)
        (root / machine / "listen" / clip).write_bytes(b"x")
    table = scan(root, labels=write_truth(tmp_path / "truth"))
    assert (table.layout, table.year, table.machines) == ("dcase2099", 2099, list(MACHINES))
    assert set(table.frame["split"]) == {"test"}
    assert table.frame["label"].value_counts().to_dict() == {"normal": 64, "anomaly": 64}
    (root / "crane" / "train").mkdir(parents=True)
    (root / "crane" / "train" / "section_00_source_train_normal_0000.wav").write_bytes(b"x")
    assert scan(root, layout="dcase2099").machines == ["crane", *MACHINES]


def test_its_submissions_are_written_checked_and_evaluated(
    invented: Edition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, folder = ledger_with_ensembles(tmp_path / "run"), tmp_path / "ours"
    written = write_submission(ledger, folder)
    assert (written.year, written.clips, len(written.files)) == (2099, 128, 2 * 2 * 2 * 2)
    assert "loom-07-source-anomaly_score.csv" in written.files
    for checked in (check_submission(folder, 2099), check_submission(folder, 2099, ledger)):
        assert (checked.problems, checked.notes) == ([], [])
    truth = write_truth(tmp_path / "truth")
    arguments = ["--year", "2099", "--truth", str(truth), "--submission", str(folder)]
    assert evaluate.main([*arguments, "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    smallest = []
    for machine, ensemble in finals(ledger).items():
        scores = scores_of(ledger, ensemble)
        scores = scores[scores["split"] == "test"]
        for (id, domain), own in scores.groupby(["id", "domain"]):
            expected = auc(own["label"], own["score"])
            assert entry["machines"][machine]["sections"][id][f"auc_{domain}"] == pytest.approx(expected, abs=1e-12)
            cells = entry["machines"][machine]["sections"][id]
            smallest.append(min(cells[f"auc_{domain}"], cells[f"pauc_{domain}"]))
    assert entry["overall"]["official_score"] == min(smallest)
    assert evaluate.main(arguments) == 0
    assert "Definition of 2099: the smallest cell." in capsys.readouterr().out
    (folder / "loom-07-source-decision_result.csv").unlink()
    assert check_submission(folder, 2099).problems == [
        "loom-07-source-decision_result.csv is missing (or score without decisions: --scores-only)"
    ]


def test_trials_are_judged_by_its_cells(invented: Edition) -> None:
    loom = clips().query("machine == 'loom'").reset_index(drop=True)
    evaluable = evaluable_clips("loom", loom, 2099)
    assert (evaluable.year, len(evaluable.rows), evaluable.notes) == (2099, 64, [])
    names, _ = cells_batch(loom, np.zeros((1, 64)), 2099)
    assert names == [f"{id}/{kind}_{domain}" for id in ("07", "08") for domain in DOMAINS for kind in ("auc", "pauc")]
    assert evaluable_clips("loom", loom, 2098).year == 2025, "a later year changes nothing for the years before it"


def test_a_year_whose_ground_truth_is_not_published_cannot_be_evaluated(
    invented: Edition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(EDITIONS, 2099, replace(invented, truth_folders=None))
    with pytest.raises(AsdRayError, match="the ground truth of 2099 is not published yet"):
        read_truth(tmp_path, 2099)


def test_a_year_without_domains_may_have_an_official_score(monkeypatch: pytest.MonkeyPatch) -> None:
    edition = replace(
        EDITIONS[2020], year=2099, official_score=lambda cells: min(cell["pauc"] for cell in cells), definition="pAUC"
    )
    monkeypatch.setitem(EDITIONS, 2099, edition)
    table = clips().assign(score=np.random.default_rng(0).normal(size=128))
    official = official_score(table, 2099)
    assert official.score == min(cell["pauc"] for machine in MACHINES for cell in official.cells(machine).values())
    assert official.interval is None


def test_what_the_table_holds() -> None:
    assert list(EDITIONS) == list(range(2020, 2027))
    assert all(year == edition.year for year, edition in EDITIONS.items())
    assert [year for year, edition in EDITIONS.items() if not edition.is_scored] == [2026]
    assert {year: len(edition.evaluation) for year, edition in EDITIONS.items()} == {
        2020: 6, 2021: 7, 2022: 7, 2023: 7, 2024: 9, 2025: 8, 2026: 5,
    }  # fmt: skip
    for edition in EDITIONS.values():
        name = edition.clips.spell("03", "source")
        assert edition.clips.pattern.fullmatch(name), "the example of a clip's name follows the year's own rule"
