"""Numbers of rows from a ledger that is made up: which trials count, and how members are combined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.experiments import Conditions, PlannedRow, Training, differences
from asd_ray.experiments.measuring import measure, stored_trial
from asd_ray.experiments.training_ids import ids_of
from asd_ray.families import family
from asd_ray.ledger import Ledger, Settings, TrialRecord
from asd_ray.metrics import auc, pauc
from asd_ray.papers import find

GIRI = find("giri2020").table("1")
LIU = find("liu2022").table("2")
AEGAN = find("jiang2023").table("1")
TRAIN, TEST = 12, 40
LABELS = np.arange(TEST) % 2
DRAW = np.random.default_rng(0)


def scores(variants: dict[str, tuple[float, float]], domain: str = "") -> pd.DataFrame:
    """Scores of two ids. A variant is how much higher anomalies score, and its unit."""
    rows = []
    for variant, (gain, unit) in variants.items():
        for id in ("00", "02"):
            for split, label in [("train", "normal")] * TRAIN + [
                ("test", ("normal", "anomaly")[one]) for one in LABELS
            ]:
                of = domain and ("source", "target")[len(rows) % 4 // 2]
                value = unit * (5 + DRAW.normal() + gain * (label == "anomaly"))
                rows.append([f"{id}_{split}_{len(rows) % (TRAIN + TEST):03d}", id, of, split, label, variant, value])
    return pd.DataFrame(rows, columns=["clip", "id", "domain", "split", "label", "variant", "score"])


def commit(ledger: Ledger, training: Training, frame: pd.DataFrame | None, **of: Any) -> TrialRecord:
    facts = {"machine": "fan", "seed": 0, "settings": Settings(), "version": family(training.family).version, **of}
    number = len(ledger.records())
    record = TrialRecord(
        trial=f"t{number:012x}",
        name=f"fan-{training.family}-{number:04d}",
        family=training.family,
        number=number,
        **{"params": training.setting, **facts},
    )
    ledger.commit(record, frame)
    return record


def training(name: str, **params: Any) -> Training:
    return Training(name, params, ("fan",))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


def test_only_a_trial_of_this_setting_seed_and_length_counts(ledger: Ledger) -> None:
    wanted, table = training("autoencoder", edition="2020", batch_size=512), scores({"mse": (1, 1)})
    commit(ledger, training("autoencoder"), table)
    commit(ledger, wanted, table, seed=1)
    commit(ledger, wanted, table, settings=Settings(held_out=0.0))
    commit(ledger, wanted, table, settings=Settings(epochs_cap=1))
    commit(ledger, wanted, table, version="0")
    commit(ledger, wanted, table, machines=("fan", "pump"))
    with pytest.raises(AsdRayError, match="no trial of autoencoder with this setting and seed 0 is stored"):
        stored_trial(ledger, wanted, "fan", 0, Conditions())
    own = commit(ledger, wanted, table, settings=Settings(epochs_cap=10**6))  # a cap that limits nothing
    assert stored_trial(ledger, wanted, "fan", 0, Conditions()).trial == own.trial
    assert stored_trial(ledger, wanted, "fan", 1, Conditions()).seed == 1
    assert stored_trial(ledger, wanted, "fan", 0, Conditions(held_out=0.0)).settings == Settings(held_out=0.0)


def test_a_trial_that_failed_says_why(ledger: Ledger) -> None:
    commit(ledger, training("idnn"), None, status="failed", error="CUDA\nout of memory")
    with pytest.raises(AsdRayError, match="trial fan-idnn-0000 did not end well: CUDA out of memory"):
        stored_trial(ledger, training("idnn"), "fan", 0, Conditions())


def test_the_paper_s_score_is_averaged_over_the_ids(ledger: Ledger) -> None:
    table = scores({"mean": (1, 1), "max": (9, 1)})
    commit(ledger, training("idnn"), table)
    row = PlannedRow(LIU.row("IDNN"), ("fan",), ((training("idnn"),),))
    found = measure(ledger, LIU, row, "fan", 0, Conditions())
    ids = [table[(table.variant == "mean") & (table.split == "test") & (table.id == id)] for id in ("00", "02")]
    pairs = [((own.label == "anomaly").astype(int).to_numpy(), own.score.to_numpy(np.float32)) for own in ids]
    assert found.variants == ("mean",)
    assert found.values == pytest.approx(
        (50 * sum(auc(*pair) for pair in pairs), 50 * sum(pauc(*pair) for pair in pairs)), abs=1e-4
    )
    assert found.clips == 2 * TEST


def test_table_3_of_liu_has_the_worst_id(ledger: Ledger) -> None:
    """Of four normal and four anomalous clips, 12 of 16 pairs are in order on one id, and 15 on the other."""
    table = find("liu2022").table("3")
    values = {"00": ([1, 2, 3, 4], [2.5, 2.6, 4.5, 4.6]), "02": ([1, 2, 3, 4], [3.5, 5, 6, 7])}
    rows = [
        [f"{id}_{label}_{at}", id, "", "test", label, "mean", float(value)]
        for id, parts in values.items()
        for label, own in zip(("normal", "anomaly"), parts, strict=True)
        for at, value in enumerate(own)
    ]
    columns = ["clip", "id", "domain", "split", "label", "variant", "score"]
    commit(ledger, training("idnn"), pd.DataFrame(rows, columns=columns))
    row = PlannedRow(table.row("IDNN"), ("fan",), ((training("idnn"),),))
    assert measure(ledger, table, row, "fan", 0, Conditions()).values == (75.0,)


def test_members_are_standardised_by_their_training_clips_and_combined(ledger: Ledger) -> None:
    """In its own unit the poor member would decide: its scores are a thousand times as large."""
    parts = {"id_classifier": ("probability", 6.0, 1.0), "group_made": ("all", 0.0, 1000.0)}
    tables = {name: scores({variant: (gain, unit)}) for name, (variant, gain, unit) in parts.items()}
    for name, table in tables.items():
        commit(ledger, training(name), table)
    members = tuple((training(name),) for name in parts)
    for how, combined in (("mean", np.mean), ("max", np.max)):
        row = GIRI.row(f"System 2, {how}")
        found = measure(ledger, GIRI, PlannedRow(row, ("fan",), members), "fan", 0, Conditions())
        values = []
        for id in ("00", "02"):
            parts_of_id = []
            for table in tables.values():
                own = table[table.id == id]
                train = own[own.split == "train"].score.to_numpy(np.float32).astype(float)
                test = own[own.split == "test"].score.to_numpy(np.float32).astype(float)
                parts_of_id.append((test - train.mean()) / train.std())
            values.append(auc(LABELS, combined(parts_of_id, axis=0)))
        assert found.values[0] == pytest.approx(100 * np.mean(values), abs=1e-6)
        assert found.values[0] > 75


def test_the_best_settings_of_a_member_by_test_labels_are_combined_with_the_others(ledger: Ledger) -> None:
    """Giri et al. combined several augmentations of each machine; the table's row has nine."""
    row = GIRI.row("System 2, mean")
    settings = [row.members[0].params_on("fan"), *row.members[0].alternatives_on("fan")]
    classifiers = [training("id_classifier", **params) for params in settings]
    gains = (0.5, 2.0, -3.0, 0.0, 3.0, -1.0, 2.5, -2.0, -4.0)
    tables = [scores({"probability": (gain, 10.0**at)}) for at, gain in enumerate(gains)]
    made = scores({"all": (1.0, 1.0)})
    for one, table in zip([*classifiers, training("group_made")], [*tables, made], strict=True):
        commit(ledger, one, table)
    planned = PlannedRow(row, ("fan",), (tuple(classifiers), (training("group_made"),)))
    assert planned.has_alternatives
    found = measure(ledger, GIRI, planned, "fan", 0, Conditions())
    assert found.chosen == (tuple(classifiers[at] for at in (4, 6, 1)), (training("group_made"),))
    values = []
    for id in ("00", "02"):
        parts = []
        for table in (tables[4], tables[6], tables[1], made):
            own = table[table.id == id]
            train = own[own.split == "train"].score.to_numpy(np.float32).astype(float)
            test = own[own.split == "test"].score.to_numpy(np.float32).astype(float)
            parts.append((test - train.mean()) / train.std())
        values.append(auc(LABELS, np.mean(parts, axis=0)))
    assert found.values[0] == pytest.approx(100 * np.mean(values), abs=1e-6)
    of_row = " ".join(differences.of_row(GIRI, planned, {"fan": {0: found}}, made.assign(machine="fan"), Conditions()))
    assert "the best 3 settings of each classifier and machine, by test labels, as in the paper" in of_row
    assert "fan: mix=none / mix=after / mix=before warps=0" in of_row
    assert "--alternatives" not in of_row


def test_of_several_settings_the_failed_ones_are_missing_and_the_others_count(ledger: Ledger) -> None:
    row = GIRI.row("System 2, mean")
    settings = [row.members[0].params_on("fan"), *row.members[0].alternatives_on("fan")][:3]
    first, failed, last = (training("id_classifier", **params) for params in settings)
    made = training("group_made")
    commit(ledger, first, scores({"probability": (0.5, 1.0)}))
    commit(ledger, failed, None, status="failed", error="ValueError: no such sound")
    commit(ledger, last, scores({"probability": (2.0, 1.0)}))
    planned = PlannedRow(row, ("fan",), ((first, failed, last), (made,)))
    with pytest.raises(AsdRayError, match="no trial of group_made with this setting"):
        measure(ledger, GIRI, planned, "fan", 0, Conditions())
    commit(ledger, made, scores({"all": (1.0, 1.0)}))
    found = measure(ledger, GIRI, planned, "fan", 0, Conditions())
    assert found.chosen == ((last, first), (made,))
    assert len(found.missing) == 1
    assert "did not end well: ValueError: no such sound" in found.missing[0]


def test_the_best_of_several_scores_is_taken_where_the_authors_took_it(ledger: Ledger) -> None:
    member = AEGAN.row("Ours").members[0]
    variants = {variant: (float(variant == "D_knn") * 5, 1.0) for variant in member.variants}
    commit(ledger, training("aegan_ad"), scores(variants, "yes"), machine="valve")  # no score of valve is published
    row = PlannedRow(AEGAN.row("Ours"), ("valve",), ((Training("aegan_ad", {}, ("valve",)),),))
    assert measure(ledger, AEGAN, row, "valve", 0, Conditions()).variants == ("D_knn",)
    commit(ledger, training("aegan_ad", first_norm=False), scores(variants, "yes"))
    row = PlannedRow(AEGAN.row("Ours"), ("fan",), ((training("aegan_ad", first_norm=False),),))
    assert measure(ledger, AEGAN, row, "fan", 0, Conditions()).variants == ("G_z_cos_min",)


def test_ids_of_the_other_part_of_the_year_do_not_count(ledger: Ledger) -> None:
    assert ids_of(LIU, "fan", 2020) == ("00", "02", "04", "06")
    assert ids_of(LIU, "fan", 2022) == ()
    table = scores({"mean": (1, 1)})
    table["id"] = table["id"].replace("02", "01")  # of the evaluation set
    commit(ledger, training("idnn"), table)
    row = PlannedRow(LIU.row("IDNN"), ("fan",), ((training("idnn"),),))
    assert measure(ledger, LIU, row, "fan", 0, Conditions(year=2020)).clips == TEST
    assert measure(ledger, LIU, row, "fan", 0, Conditions(year=None)).clips == 2 * TEST
