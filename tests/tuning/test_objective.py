"""Which objective a search takes, and that injected faults are chosen and used without a look at a label."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

from asd_ray import Dataset, Run
from asd_ray.clips.bank import Bank
from asd_ray.clips.searchable import labelled_counts
from asd_ray.ensembling.candidates import load
from asd_ray.ensembling.label_free import without_labels
from asd_ray.ensembling.recipe import Recipe
from asd_ray.tuning import data as tuning_data

from .searches import loud_set
from .test_normal_only import Peak


class SecretLabel:
    """The label of a test clip. Every use of it is an error."""

    def __init__(self, label: str) -> None:
        self.hidden = label

    def _refuse(self, *_: object) -> NoReturn:
        raise AssertionError("the label of a test clip is read")

    __eq__ = __ne__ = __lt__ = __gt__ = __hash__ = __str__ = __repr__ = __format__ = _refuse  # type: ignore[assignment]


def hide(frame: pd.DataFrame) -> pd.DataFrame:
    pairs = zip(frame["split"], frame["label"], strict=True)
    labels = [SecretLabel(label) if split == "test" else label for split, label in pairs]
    return frame.assign(label=pd.Series(labels, index=frame.index, dtype=object))


def reveal(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=[getattr(label, "hidden", label) for label in frame["label"]])


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset whose labels of test clips cannot be read. Only the fingerprint and the ledger get them."""
    data = Dataset(loud_set(tmp_path / "data", gain=1.5), cache=tmp_path / "cache")
    table = data.table
    data.table = replace(table, frame=hide(table.frame))
    fingerprints, stored = vars(Bank)["fingerprints"].func, tuning_data.long_scores

    def of_revealed(bank: Bank) -> dict[str, str]:
        own = copy.copy(bank)
        own.frame = reveal(bank.frame)
        return fingerprints(own)

    monkeypatch.setattr(Bank, "fingerprints", property(of_revealed))
    monkeypatch.setattr(tuning_data, "long_scores", lambda clips, scores: stored(reveal(clips), scores))
    return data


RECIPES = [
    Recipe("best", "label_free_best", criterion="injected_faults"),
    Recipe("top", "label_free_top_k", criterion="borda", k=2),
    Recipe("weighted", "label_free_consensus", criterion="fault_consensus"),
    Recipe("greedy", "label_free_greedy"),
]


def search(data: Dataset, run: Path, **options: Any) -> Run:
    opened = Run(run)
    opened.search(data, families=[Peak], **{"trials": 4, "serial": True, "quiet": True, "held_out": 0.4} | options)
    return opened


def test_a_normal_only_search_reads_no_label_of_a_test_clip(secret: Dataset, tmp_path: Path) -> None:
    run = search(secret, tmp_path / "run", objective="normal-only")
    assert {record.status for record in run.records("fan")} <= {"complete", "pruned"}
    candidates = load(run.ledger, "fan")
    hidden = replace(candidates, clips=hide(candidates.clips.assign(split="test")))
    for recipe in RECIPES:
        assert without_labels(recipe, hidden).members
    run.ensemble("fan", recipes=["label_free_top_k"])
    bundle = run.bundle(
        "fan", tmp_path / "fan.bundle", recipe="label_free_top_k", data=secret, refit_all=True, serial=True
    )
    assert bundle.machine == "fan"
    with pytest.raises(AssertionError, match="the label of a test clip is read"):
        search(secret, tmp_path / "run", objective="labels")


def few(root: Path, normal: int, anomalous: int) -> Path:
    """`loud_set` with so many test clips of each label."""
    loud_set(root, gain=1.5)
    for label, count in (("normal", normal), ("anomaly", anomalous)):
        for file in sorted((root / "fan/test").glob(f"*_{label}_*"))[count:]:
            file.unlink()
    return root


DEFAULTS = [
    (4, 4, {}, "labels"),
    (12, 3, {}, "normal-only"),
    (3, 12, {}, "normal-only"),
    (12, 3, {"objective": "labels"}, "labels"),
    (12, 3, {"checkpoint": "oracle"}, "labels"),  # the user chooses epochs by labels
    (12, 3, {"held_out": 0.0}, "labels"),  # there are no clips to inject faults into
    (12, 6, {"keep_unseen": 0.5}, "normal-only"),
    (12, 8, {"keep_unseen": 0.5}, "labels"),
]


@pytest.mark.parametrize(("normal", "anomalous", "options", "objective"), DEFAULTS)
def test_labels_are_the_default_where_there_are_enough(
    tmp_path: Path, normal: int, anomalous: int, options: Any, objective: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Dataset(few(tmp_path / "data", normal, anomalous), cache=tmp_path / "cache")
    run = search(data, tmp_path / "run", trials=1, quiet=False, **options)
    assert {record.settings.objective for record in run.records("fan") if record.settings} == {objective}
    printed = capsys.readouterr()
    said = "and a choice by labels needs 4 of each, so its trials are compared by injected faults"
    assert (said in " ".join((printed.out + printed.err).split())) == (objective == "normal-only")


def test_a_run_that_compares_by_few_labels_goes_on_by_labels(tmp_path: Path) -> None:
    data = Dataset(few(tmp_path / "data", 12, 3), cache=tmp_path / "cache")
    search(data, tmp_path / "run", trials=1, objective="labels")
    run = search(data, tmp_path / "run", trials=2)
    assert [record.settings.objective for record in run.records("fan") if record.settings] == ["labels"] * 2


def test_only_ids_with_both_labels_count() -> None:
    rows = [("00", "normal")] * 9 + [("00", "anomaly")] * 5 + [("01", "normal")] * 7 + [("02", "unknown")] * 3
    frame = pd.DataFrame(rows, columns=["id", "label"]).assign(machine="fan", split="test")
    assert labelled_counts(frame, "fan") == (9, 5)
