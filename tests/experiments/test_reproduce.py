"""Rows of tables, run on the tiny demo set: what is searched, what is left out, and what a second run does."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.__main__ import main
from asd_ray.detectors.parts.weights import read
from asd_ray.experiments import Conditions, Experiment, PaperResult, Training, plan_table, reproduce
from asd_ray.families import family
from asd_ray.families.drawing import first_draw
from asd_ray.papers import Member, PaperRow, PaperTable, find
from asd_ray.papers.measure import AUC
from asd_ray.tuning.family_choice import spaces_by_family

from ..published_mobilenet_v3 import timm_state

MISSING = "pump, slider, ToyCar, ToyConveyor: not in this dataset"


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    return Dataset(folder, cache=tmp_path / "cache")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def values(result: PaperResult, machine: str, measure: str) -> tuple[float, ...]:
    [found] = [each.ours for each in result.numbers if (each.machine, each.measure) == (machine, measure) and each.ours]
    return found


def test_the_row_of_a_family_at_its_paper_s_setting(data: Dataset, run: Run) -> None:
    asked_for: dict[str, Any] = {"rows": "IDNN", "epochs_cap": 1, "seeds": 2, "serial": True, "quiet": True}
    result = run.paper("liu2022", "2", data, **asked_for)
    trials = run.trials()
    assert sorted(zip(trials["machine"], trials["seed"], strict=True)) == [
        *(("fan", 0), ("fan", 1), ("valve", 0), ("valve", 1))
    ]
    assert trials["paper"].all()
    frame = result.frame().set_index(["row", "machine", "measure"])
    assert list(frame.index.get_level_values("machine"))[:7] == [*find("liu2022").table("2").machines, "average"]
    assert frame.loc[("IDNN", "fan", "AUC"), "published"] == 67.71
    assert frame.loc[("IDNN", "fan", "AUC"), "seeds"] == 2
    assert 0 < frame.loc[("IDNN", "fan", "AUC"), "ours"] < 100
    assert result.left_out == (MISSING,)
    assert "idnn trained for at most 1 epoch in place of 100" in result.differs["IDNN"]
    assert any("the sound is the synthetic demo set, not dcase2020" in note for note in result.notes)

    again = run.paper("liu2022", "2", data, **asked_for)
    assert again.numbers == result.numbers
    assert run.trials().equals(trials), "the same command trains nothing"


def test_a_row_with_parameters_of_its_own_from_the_command_line(
    folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["paper", "jiang2023", "--table", "1", "--row", "Official-1", "Du", "--machine", "fan"]
    words += ["--data", str(folder), "--run", run.layout.root, "--epochs-cap", "1", "--serial"]
    assert main([*words, "--csv"]) == 0
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert "left out: Du: another team's submission" in printed.err
    [fan] = [row for row in rows if row["machine"] == "fan" and row["row"] == "Official-1"]
    assert (fan["published"], fan["comparable"], fan["difference"]) == ("58.47", "False", ""), "it is the demo set"
    assert "the average is over fan alone; the published one beside it, too" in fan["differs"]
    assert "fewer test clips than dcase2022" in fan["notes"]
    [record] = run.records()
    assert (record.params["edition"], record.params["batch_size"], record.paper) == ("2021", 512, False)

    assert main(words) == 0
    out = capsys.readouterr().out
    table = out.partition("Jiang et al. 2023, table 1")[2].splitlines()
    assert "0 trials run now" in out
    assert "next:" not in out
    assert max(map(len, table)) <= 80
    assert ["ours", "-", f"{float(fan['ours']):.2f}"] in [line.split()[:3] for line in table]
    assert "difference" not in out
    assert any(line.startswith("left out: Du: another team's submission") for line in table)
    assert any(line.startswith("note: the dataset has fewer test clips than dcase2022") for line in table)

    page = folder.with_name("du.html")
    assert main([*words, "--html", str(page), "--markdown"]) == 0
    assert f">{float(fan['ours']):.2f}</td>" in page.read_text()
    assert "Du: another team&#39;s submission" in page.read_text()
    assert f"| Official-1 | fan | hmean | 58.47 | {float(fan['ours']):.2f} | - |" in capsys.readouterr().out


def test_members_are_trained_and_combined_and_machines_may_be_trained_jointly(data: Dataset, run: Run) -> None:
    gmm, net = Member("twfr_gmm", ("gmm",)), Member("idnn", ("mean",))
    rows = (
        PaperRow("both", {}, "made up", (50.0,), members=(gmm, net), combine="mean", standardise="train"),
        PaperRow("joint", {}, "made up", (50.0,), members=(gmm,), jointly=True),
    )
    table = PaperTable("1", "Made up", "dcase2020", "development", (), (AUC,), "mean", rows)
    plan = plan_table(table, data.table, rate=data.rate, held_out=0.1)
    assert [(each.family, each.jointly) for each in plan.trainings] == [
        *(("twfr_gmm", False), ("idnn", False), ("twfr_gmm", True))
    ]

    def search(training: Training, seed: int) -> None:
        run.search(
            data,
            training.machines,
            families=[training.family],
            fixed_params=training.fixed_params,
            jointly=training.jointly,
            trials=1,
            epochs_cap=1,
            seed=seed,
            serial=True,
            quiet=True,
        )

    experiment = Experiment(find("liu2022"), table, plan, 1, Conditions(epochs_cap=1))
    result = reproduce(experiment, data.table, run.ledger, search)
    assert result.left_out == ()
    assert {(each.row, each.machine) for each in result.numbers if each.ours} == {
        (row, machine) for row in ("both", "joint") for machine in ("fan", "valve", "average")
    }
    assert {record.machines for record in run.records()} == {("fan",), ("valve",), ("fan", "valve")}


def test_trainings_are_shared_by_rows_and_split_by_parameters(data: Dataset) -> None:
    table = find("giri2020").table("1")
    plan = plan_table(table, data.table, rate=data.rate, held_out=0.1)
    settings = [(each.family, dict(each.params)) for each in plan.trainings]
    assert settings == [
        ("autoencoder", {"edition": "2020", "batch_size": 512}),
        ("id_classifier", {}),
        ("id_classifier", {"net": "resnet50"}),
        ("group_made", {}),
        ("id_classifier", {"head": "arcface"}),
    ]
    assert {each.machines for each in plan.trainings} == {("fan", "valve")}
    every = plan_table(table, data.table, rate=data.rate, held_out=0.1, alternatives=True)
    assert len(every.trainings) == len(settings) + 3 * 8
    assert {each.machines for each in every.trainings} == {("fan", "valve")}
    [mobilenet, _] = every.planned[3].trainings_of("fan")  # of system 2
    assert [each.words for each in mobilenet[:3]] == ["the setting of PAPER", "mix=before warps=0", "mix=after warps=0"]
    norms = plan_table(find("jiang2023").table("2"), data.table, rate=data.rate, held_out=0.1, rows=["BN+LN"])
    (training,) = norms.trainings
    assert training.params == {"norm": "batch", "first_norm": False}
    # a search of fan begins with what PAPER_OF has for it, so these are fixed to the values of PAPER or of the row
    plain = {"matching": "mean", "eta": 0.1, "beta1": 0.5, "epochs": 60}
    given = {**plain, "norm": "batch", "first_norm": False}
    assert training.fixed_params == {f"aegan_ad.{name}": value for name, value in given.items()}


@pytest.mark.parametrize("year", [2020, 2022, None])
def test_a_row_starts_from_the_plain_paper_on_every_machine_and_edition(year: int | None) -> None:
    """Table 2 has layer norm on the gearbox, where PAPER_OF of 2022 has batch norm."""
    training = Training("aegan_ad", {"matching": "mean_std"}, ("gearbox",))
    own = family("aegan_ad").search_space()
    assert training.setting == {**own.paper, "matching": "mean_std"}
    (space,) = spaces_by_family((), [family("aegan_ad")], training.fixed_params).values()
    assert first_draw(space.on(["gearbox"], year)).params == training.setting


def test_a_further_setting_that_does_not_suit_a_machine_is_left_out_alone(data: Dataset) -> None:
    """With one training clip a classifier needs the classes that warps make."""
    frame = data.table.frame
    tests_and_one = (frame["split"] != "train") | ~frame.duplicated(["machine", "split"])
    left = frame[(frame["machine"] != "fan") | ((frame["id"] == "00") & tests_and_one)]
    one_id = data.table.with_frame(left.reset_index(drop=True).assign(attributes="{}"))
    table = find("giri2020").table("1")
    plan = plan_table(table, one_id, rate=data.rate, held_out=0.1, rows=["System 2, mean"], alternatives=True)
    [row] = plan.planned
    assert row.machines == ("fan", "valve")
    settings = {machine: [each.words for each in row.trainings_of(machine)[0]] for machine in row.machines}
    assert settings["fan"] == [
        "the setting of PAPER",
        "mix=none",
        "mix=before",
        "mix=after",
        "warp=time",
        "mix=none warp=time",
    ]
    assert len(settings["valve"]) == 9
    left_out = [line for line in plan.left_out if line.startswith("System 2, mean on fan: id_classifier with ")]
    assert [line.split(" with ")[1].split(":")[0] for line in left_out] == [
        *("mix=before warps=0", "mix=after warps=0", "warps=0")
    ]


def test_joint_rows_take_all_machines_of_the_dataset_at_once(data: Dataset) -> None:
    plan = plan_table(find("liu2022").table("2"), data.table, rate=data.rate, held_out=0.1, rows=["STgram-MFN(CEE)"])
    [training] = plan.trainings
    assert (training.machines, training.jointly) == (("fan", "valve"), True)
    assert training.setting["head"] == "softmax"
    assert training.trained_with("fan") == {"fan", "valve"}


def test_a_row_that_needs_weights_can_be_run_where_they_are_brought(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, name = find("cho2022").table("1"), "ST-gram + MobileNetV3"
    assert not table.row(name).can_run
    torch.save(timm_state(), tmp_path / "mobilenet_v3.pth")
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    assert table.row(name).can_run
    assert {record["cannot"] for record in table.records()} == {""}
    plan = plan_table(table, data.table, rate=data.rate, held_out=0.1, rows=[name])
    [training] = plan.trainings
    found = read("mobilenet_v3", str(tmp_path / "mobilenet_v3.pth"))
    assert (training.setting["net"], training.setting["pretrained"]) == ("mobilenet_v3", found.name)
    plan = plan_table(table, data.table, rate=data.rate, held_out=0.1, rows=["ST-gram + MobileFaceNet"])
    assert "pretrained" not in plan.trainings[0].setting


def test_totals_leave_out_machines_of_another_set(data: Dataset) -> None:
    """A table of the evaluation set prints totals alone; a machine of the development set has no part in them."""
    frame = data.table.frame
    renamed = data.table.with_frame(frame.assign(machine=frame["machine"].replace({"valve": "press"})))
    table = find("baseline2022").table("development")
    plan = plan_table(table, renamed, rate=data.rate, held_out=0.1)
    assert "press: not a machine of the development set of dcase2022" in plan.left_out
    assert {each.machines for each in plan.trainings} == {("fan",)}
    another_year = dataclasses.replace(renamed, year=2021)
    every = plan_table(table, another_year, rate=data.rate, held_out=0.1)
    assert {each.machines for each in every.trainings} == {("fan", "press")}


def test_a_family_that_does_not_suit_the_clips_is_left_out_with_the_reason(data: Dataset) -> None:
    frame = data.table.frame[data.table.frame["id"] == "00"]
    one_clip = frame[(frame["split"] != "train") | ~frame.duplicated(["machine", "split"])]  # nothing to tell apart
    one_id = data.table.with_frame(one_clip.reset_index(drop=True).assign(attributes="{}"))
    table = find("jiang2023").table("1")
    plan = plan_table(table, one_id, rate=data.rate, held_out=0.1, rows=["Official-1", "Official-2"])
    assert [each.row.name for each in plan.planned] == ["Official-1"]
    assert any(line.startswith("Official-2 on fan: id_classifier: it learns to tell") for line in plan.left_out)
    with pytest.raises(AsdRayError, match="no row of table 1 can be run on .*\n.*\n  Official-2 on fan: id_classifier"):
        plan_table(table, one_id, rate=data.rate, held_out=0.1, rows=["Official-2"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("liu2022", "--table", "2", "--row", "IDN"), "unknown row of table 2 'IDN'; did you mean 'IDNN'"),
        (("liu2022", "--table", "2", "--machine", "fans"), "unknown machine of table 2 'fans'; did you mean 'fan'"),
        (
            ("liu2022", "--table", "2", "--machine", "pump"),
            "no machine of table 2 can be run (pump: not in this dataset)",
        ),
        (("liu2022",), "liu2022 has the tables 2, 3, 4; choose one with --table"),
        ((), "name a paper to run"),
        (("cho2022", "--row", "ST-gram + MobileNetV3"), "ST-gram + MobileNetV3: it starts from pretrained weights"),
        (("liu2022", "--table", "2", "--held-out", "2"), "--held-out must be"),
        (("liu2022", "--table", "2", "--alternatives"), "no such row of table 2 has further settings"),
        (("liu2022", "--table", "2", "--html", "no/where.html"), "there is no folder no"),
    ],
)
def test_what_cannot_be_run_is_one_message(
    words: tuple[str, ...], message: str, folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["paper", *words, "--data", str(folder), "--run", run.layout.root, "--serial"]) == 2
    assert message in capsys.readouterr().err
    assert not Path(run.layout.ledger).exists()


def test_options_of_a_run_need_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "liu2022", "--table", "2", "--seeds", "3"]) == 2
    assert "--seeds is for running a table: give the dataset with --data, too" in capsys.readouterr().err
