"""What cannot succeed is left out before anything is trained: in one line, with nothing stored, and nothing decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from asd_ray.clips.bank import open_bank
from asd_ray.detectors import FAMILIES, Context, family
from asd_ray.errors import AsdRayError
from asd_ray.features import FeatureCache
from asd_ray.ledger import Ledger
from asd_ray.tuning.suiting import StudyClips, reason_against, reason_against_draws, reason_lines

from ..hostile import Verbs, unharmed

OWN = "families_for_tests"
WITHOUT_WEIGHTS = [name for name in FAMILIES if not family(name).needs_weights]  # of the user
TELL_APART = {"complex_net", "embedding_knn", "stgram"}  # two clips; id_classifier makes classes by warping
BY_WINDOWS = {"anogan", "autoencoder", "flow_aff", "ganomaly", "group_made", "id_classifier", "idnn"}
LONG_WINDOWS = {"anogan", "ganomaly", "id_classifier"}
QUICK: dict[str, dict[str, Any]] = {
    "aegan_ad": {"channels": 2},
    "anogan": {"channels": 2},
    "complex_net": {"width_factor": 0.05},
    "embedding_knn": {"seconds": 0.5, "backends": "knn"},
    "flow_aff": {"hidden": 16},
    "ganomaly": {"channels": 2},
    "id_classifier": {"backends": "knn"},
    "stgram": {"seconds": 0.5, "net": "mobilefacenet_2023", "backends": "knn"},
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asd_ray.tuning.trial.free", lambda device: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def table(*clips: tuple[str, str], machine: str = "fan", seconds: float | None = None) -> pd.DataFrame:
    """A clip table of normal training clips, each an id and attributes; decoded at 16 kHz where `seconds` are given."""
    rows = [
        {"machine": machine, "id": id, "domain": "source", "split": "train", "label": "normal", "clip": f"{n}.wav"}
        | {"attributes": attributes}
        for n, (id, attributes) in enumerate(clips)
    ]
    frame = pd.DataFrame(rows)
    return frame if seconds is None else frame.assign(samples=round(16_000 * seconds))


ONE_ID = [("00", "{}")] * 4
SETS: list[tuple[str, pd.DataFrame, float, set[str]]] = [
    ("two ids", table(*ONE_ID, ("01", "{}")), 0.1, set()),
    ("one id", table(*ONE_ID), 0.1, set()),
    ("one id, one attribute", table(*[("00", '{"v": "1"}')] * 4), 0.1, set()),
    ("one id, one sound", table(*ONE_ID).assign(digest="0"), 0.1, TELL_APART),
    ("one id, two attributes", table(*[("00", '{"v": "1"}'), ("00", '{"v": "2"}')] * 4), 0.1, set()),
    ("one id, a clip without", table(("00", '{"v": "1"}'), *ONE_ID), 0.0, set()),
    ("what tells apart is held out", table(("00", '{"v": "1"}'), ("00", '{"v": "2"}')), 0.5, {*TELL_APART, "aegan_ad"}),
    ("one clip", table(*ONE_ID[:1]), 0.1, {*TELL_APART, "aegan_ad"}),
    ("one clip of 0.1 s", table(*ONE_ID[:1], seconds=0.1), 0.1, {*TELL_APART, "aegan_ad", *BY_WINDOWS}),
    ("one clip of 1 s", table(*ONE_ID[:1], seconds=1), 0.1, {*TELL_APART, "aegan_ad", *LONG_WINDOWS}),
    ("one clip of 5 s", table(*ONE_ID[:1], seconds=5), 0.1, {*TELL_APART, "aegan_ad"}),
    ("two clips of 0.1 s", table(*ONE_ID[:2], seconds=0.1), 0.1, {"autoencoder"}),
    ("two ids of 0.1 s", table(("00", "{}"), ("01", "{}"), seconds=0.1), 0.1, {"autoencoder"}),
    ("three clips of 0.1 s", table(*ONE_ID[:3], seconds=0.1), 0.1, set()),
]


@pytest.mark.parametrize(("frame", "share", "expected"), [each[1:] for each in SETS], ids=[each[0] for each in SETS])
def test_the_families_that_do_not_suit_these_clips(frame: pd.DataFrame, share: float, expected: set[str]) -> None:
    clips, found = StudyClips.of(frame, ["fan"], share, 16_000), {}
    for name in WITHOUT_WEIGHTS:
        reason = reason_against(family(name), family(name).search_space().paper, 16_000)(clips)
        if reason:
            found[name] = reason
    assert set(found) == expected
    assert all("; " in reason and "\n" not in reason for reason in found.values())  # the rule, and a cure


@pytest.mark.parametrize(
    ("split", "label", "shortest"),
    [("test", "normal", 100), ("test", "anomaly", 100), ("train", "normal", 100), ("train", "anomaly", 16_000)]
    + [("supplemental", "normal", 16_000)],
)  # fmt: skip
def test_only_the_clips_that_trials_read_count_as_the_shortest(split: str, label: str, shortest: int) -> None:
    frame = table(*ONE_ID, seconds=1.0)
    odd = frame.iloc[:1].assign(split=split, label=label, samples=100)
    clips = StudyClips.of(pd.concat([frame, odd], ignore_index=True), ["fan"], 0.1, 16_000)
    assert clips.shortest == shortest


def test_machines_of_one_clip_are_told_apart_when_they_are_trained_together() -> None:
    frame = pd.concat([table(*ONE_ID[:1]), table(*ONE_ID[:1], machine="pump")], ignore_index=True)
    for name in TELL_APART:
        ask = reason_against(family(name), family(name).search_space().paper, 16_000)
        assert ask(StudyClips.of(frame, ["fan"], 0.1, 16_000))
        assert not ask(StudyClips.of(frame, ["fan", "pump"], 0.1, 16_000))


@pytest.mark.parametrize(("clips", "seconds"), [(1, 0.1), (1, 1.0), (2, 0.1)])
def test_what_suits_learns_and_what_does_not_would_fail(
    clips: int, seconds: float, record: Callable[..., Path], tmp_path: Path
) -> None:
    for n in range(clips):
        record(
            tmp_path / "d" / "fan" / "train" / f"section_00_source_train_normal_000{n}_noAttribute.wav", seconds=seconds
        )
    bank = open_bank(tmp_path / "d", workers=1)
    known = StudyClips.of(bank.frame.assign(samples=bank.lengths), ["fan"], 0.1, 16_000)
    context = Context(features=FeatureCache(tmp_path / "cache"))
    for name in WITHOUT_WEIGHTS:
        each = family(name)
        params = {**each.search_space().paper, **QUICK.get(name, {})}
        if "epochs" in params:
            params["epochs"] = 1
        try:
            list(each.detector(context, **params).fit(bank.select("fan")))
        except AsdRayError:
            assert reason_against(each, params, 16_000)(known), name
        else:
            assert not reason_against(each, params, 16_000)(known), name


@pytest.mark.parametrize(("warps", "left_out"), [(0, True), (1, False), (2, False)])
def test_a_draw_is_asked_by_itself(warps: int, left_out: bool) -> None:
    each = family("id_classifier")
    ask = reason_against_draws(each, StudyClips.of(table(*ONE_ID[:1]), ["fan"], 0.1, 16_000))
    assert bool(ask({**each.search_space().paper, "warps": warps})) is left_out


def test_a_draw_that_the_class_refuses_is_left_to_the_trial() -> None:
    ask = reason_against_draws(family("id_classifier"), StudyClips.of(table(*ONE_ID), ["fan"], 0.1, 16_000))
    assert ask({"frames": 1}) == ""


def test_unsuited_draws_are_drawn_anew_and_not_stored(bench: Any) -> None:
    study = bench.study(6)
    study.unsuited = lambda params: "too small" if params["x"] < 0.5 else ""
    bench.search(study)
    assert len(bench.records) == 6
    assert [r.number for r in bench.records] == list(range(6))
    assert min(r.params["x"] for r in bench.records) >= 0.5


def test_a_space_of_unsuited_draws_alone_is_exhausted(bench: Any) -> None:
    study = bench.study(6)
    study.unsuited = lambda params: "" if params["x"] == 0.75 else "another one"
    search = bench.search(study)
    assert (len(bench.records), study.exhausted, search.error) == (1, True, "")


def test_reasons_are_one_line_each_with_all_their_machines() -> None:
    reasons = {((m,), f): f"r{f[0]}" for m in ("fan", "pump") for f in ("abc", "axe", "bat")} | {
        (("fan",), "cow"): "rc"
    }
    assert reason_lines(reasons) == ["abc, axe of fan, pump: ra", "bat of fan, pump: rb", "cow of fan: rc"]
    assert reason_lines({(("fan", "pump"), "abc"): "no"}) == ["abc of fan with pump: no"]


# -- what the command does ------------------------------------------------------------------------------------------


@pytest.fixture
def machines(record: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A DCASE 2022 shaped folder without attributes: ``machines(fan=2, pump=1)`` gives the numbers of ids."""

    def make(*, rate: int = 16_000, seconds: float = 0.3, train: int = 3, **ids: int) -> Path:
        clips = [("train", "normal", train), ("test", "normal", 2), ("test", "anomaly", 2)]
        for machine, count in ids.items():
            for id in range(count):
                for split, label, many in clips:
                    for n in range(many):
                        name = f"section_{id:02d}_source_{split}_{label}_{n:04d}_noAttribute.wav"
                        path = tmp_path / "data" / "dev_data" / machine / split / name
                        record(path, rate=rate, seconds=seconds, seed=len(machine) + 100 * id + 10 * n)
        return tmp_path / "data"

    return make


def searched(verbs: Verbs, data: Path, families: str, *more: object) -> Any:
    return verbs("search", "--serial", "--data", data, "--run", "run", "--trials", "2", "--epochs-cap", "1",
                 "--families", families, *more)  # fmt: skip


def stored() -> set[tuple[str, str, str]]:
    return {(r.machine, r.family, r.status) for r in Ledger("run").records()}


def banks(tmp_path: Path) -> set[str]:
    """Machines that were decoded."""
    return {each.name.partition("-")[0] for each in (tmp_path / "cache" / "banks").glob("*/*-*") if each.is_dir()}


def left_out(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("left out: ")]


def test_a_classifier_is_searched_on_a_machine_of_one_id_and_no_attributes(verbs: Verbs, machines: Any) -> None:
    small = ("--set", "width_factor=0.05", "--set", "encoder=log_mel", "--set", "frames=17")
    answer = searched(verbs, machines(fan=1), "complex_net", *small)
    assert answer.status == 0
    assert left_out(answer.out) == []
    assert stored() == {("fan", "complex_net", "complete")}


def test_families_that_tell_clips_apart_are_left_out_of_machines_of_one_clip(verbs: Verbs, machines: Any) -> None:
    answer = searched(verbs, machines(fan=1, pump=1, train=1), "stgram,embedding_knn,complex_net,twfr_gmm")
    assert answer.status == 0
    (line,) = left_out(answer.out)
    assert line == (
        "left out: stgram, embedding_knn, complex_net of fan, pump: it learns to tell classes of normal clips apart, "
        "but there is a single training clip; record more"
    )
    assert "2 studies of 2 trials" in answer.out
    assert stored() == {(machine, "twfr_gmm", "complete") for machine in ("fan", "pump")}


def test_a_machine_of_which_nothing_is_left_is_said_once_and_not_decoded(
    verbs: Verbs, machines: Any, tmp_path: Path
) -> None:
    answer = searched(verbs, machines(fan=2, pump=1), f"{OWN}:Picky")
    assert answer.status == 0
    assert left_out(answer.out) == [
        "left out: picky of pump: it compares ids; record two",
        "left out: nothing is left to search of pump",
    ]
    assert stored() == {("fan", "picky", "complete")}
    assert banks(tmp_path) == {"fan"}


@pytest.mark.parametrize(
    ("ids", "families", "more", "words"),
    [
        ({"fan": 1, "train": 1}, "stgram", (), ("stgram of fan: it learns to tell classes", "a single training clip")),
        ({"fan": 1, "pump": 1, "train": 1}, "stgram,complex_net", (), ("stgram, complex_net of fan, pump: it learns",)),
        ({"fan": 1}, f"{OWN}:Picky", (), ("picky of fan: it compares ids; record two",)),
        ({"fan": 2}, f"{OWN}:Tiny", ("--rate", 8_000), ("tiny of fan: its front end takes 16000 Hz", "--rate 16000")),
        (
            {"fan": 2},
            "all",
            ("--rate", 100),
            ("at 100 Hz the window of log_mel has 6 ", "choose another --rate"),
        ),
        ({"fan": 2}, "twfr_gmm", ("--rate", 10**9), ("at 1000000000 Hz the window", "choose another --rate")),
        ({"fan": 1, "pump": 2}, f"{OWN}:Picky", ("--jointly",), ("picky of fan with pump: it compares ids",)),
    ],
    ids=["one clip", "several", "own", "fixed rate", "low rate", "high rate", "jointly"],
)
def test_a_search_in_which_nothing_is_left_ends_with_the_reasons(
    verbs: Verbs, machines: Any, tmp_path: Path, ids: dict[str, int], families: str, more: Any, words: tuple[str, ...]
) -> None:
    data = machines(**ids)
    with unharmed(data):
        answer = searched(verbs, data, families, *more)
    assert answer.status == 2
    assert "nothing is left to search:" in answer.err
    assert all(word in answer.err for word in words), answer.err
    assert not (tmp_path / "run").exists()
    assert banks(tmp_path) == set()  # nothing was decoded


@pytest.mark.parametrize(
    ("own", "reason"),
    [("Picky", "it wants clips of 0.2 s; record longer ones"), ("Forgetful", ""), ("Mistaken", ""), ("AnyRate", "")],
)
def test_what_is_known_once_clips_are_decoded(verbs: Verbs, machines: Any, own: str, reason: str) -> None:
    answer = searched(verbs, machines(fan=2, seconds=0.15), f"{OWN}:{own},twfr_gmm")
    assert answer.status == 0
    assert [line.partition(": ")[2].partition(": ")[2] for line in left_out(answer.out)] == [reason] * bool(reason)
    assert len(stored()) == (1 if reason else 2)


def test_clips_too_short_for_the_front_end_of_a_low_rate(verbs: Verbs, machines: Any) -> None:
    answer = searched(verbs, machines(fan=1, seconds=0.1), "flow_aff,idnn", "--rate", 2_000)
    assert answer.status == 0
    (line,) = left_out(answer.out)
    assert line.startswith(
        "left out: flow_aff of fan: the shortest clip, of 200 samples, is too short for its front end;"
    )
    assert stored() == {("fan", "idnn", "complete")}


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_a_search_at_another_rate_completes_and_leaves_out_who_cannot(verbs: Verbs, machines: Any, rate: int) -> None:
    data = machines(fan=1, rate=48_000)
    assert "choose another rate with --rate" in verbs("data", "check", data).text
    answer = searched(verbs, data, f"idnn,twfr_gmm,{OWN}:Tiny", "--rate", rate)
    assert answer.status == 0
    (line,) = left_out(answer.out)
    assert line.startswith(
        f"left out: tiny of fan: its front end takes 16000 Hz and the clips are decoded at {rate} Hz;"
    )
    assert stored() == {("fan", "idnn", "complete"), ("fan", "twfr_gmm", "complete")}


def test_trials_of_another_rate_are_others_and_belong_into_another_run(verbs: Verbs, machines: Any) -> None:
    data = machines(fan=1)
    assert searched(verbs, data, "twfr_gmm").status == 0
    with unharmed(Path("run")):
        answer = searched(verbs, data, "twfr_gmm", "--rate", 8_000)
    assert answer.status == 2
    assert "another --rate" in answer.err
    assert verbs("search", "--serial", "--data", data, "--run", "other", "--families", "twfr_gmm", "--trials", 2,
                 "--rate", 8_000).status == 0  # fmt: skip
    own, other = ({r.trial for r in Ledger(run).records()} for run in ("run", "other"))
    assert len(own) == len(other) == 2
    assert not own & other


def test_failed_trials_of_a_wrong_rate_do_not_keep_the_right_one_out_of_a_run(verbs: Verbs, machines: Any) -> None:
    data = machines(fan=1)
    assert searched(verbs, data, "twfr_gmm", "--rate", 8_000).status == 0
    ledger = Ledger("run")
    for record in ledger.records():  # as they were stored when no family took another rate
        Path(ledger.layout.root, ledger.layout.trial_file("fan", record.family, record.trial, record.status)).unlink()
        ledger.commit(replace(record, status="failed", error="the front end expects 16000 Hz", objective=None))
    with unharmed(Path("run/ledger")):
        assert searched(verbs, data, "twfr_gmm").status == 0
    assert stored() == {("fan", "twfr_gmm", "failed"), ("fan", "twfr_gmm", "complete")}
